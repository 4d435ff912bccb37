"""The administrative API by name: each action, what it takes, and what does it.

An action's name without its verb is the plural where it gives a list. Those that only look begin with List or Get, by
which the audit log knows them.
"""

from __future__ import annotations

from cumulet import administration
from cumulet.administration import (
    accounts,
    credentials,
    joining,
    machines,
    moves,
    network,
    objects,
    overview,
    storage,
    users,
)
from cumulet.administration.desk import Action, Named, Nothing, OfAccount, look, order
from cumulet.control import hosts, placing

ACTIONS: dict[str, Action] = {
    "GetStatus": look(overview.status),
    "ListServices": look(lambda tx, config, wanted: overview.services(tx)),
    "GetExplanation": Action(Named, overview.explain),
    "GetPlacement": look(lambda tx, config, wanted: placing.why(tx, config, wanted.name), Named),
    "ListAccounts": look(accounts.listed),
    "CreateAccount": Action(accounts.New, accounts.create),
    "SetAccount": order(accounts.set_account, accounts.Setting),
    "DeleteAccount": order(accounts.delete, Named),
    "RevealAccessKey": look(credentials.access_key, credentials.Whose),
    "CreateCredentials": Action(credentials.Wanted, credentials.create),
    "RevokeCertificate": Action(credentials.Serial, credentials.revoke),
    "RotateKey": Action(Nothing, credentials.rotate_key),
    "GetUsage": look(accounts.usage, accounts.Period),
    "ListQuotas": look(
        lambda tx, config, wanted: administration.quotas_of(tx, config, wanted.account),
        OfAccount,
    ),
    "SetQuota": order(administration.grant, administration.Grant),
    "ListUsers": look(lambda tx, config, wanted: users.listed(tx, wanted.account), OfAccount),
    "CreateUser": order(users.create, users.Roles),
    "DeleteUser": order(users.delete, users.User),
    "AddRoles": order(users.add_roles, users.Roles),
    "RemoveRoles": order(users.remove_roles, users.Roles),
    "ListHosts": look(lambda tx, config, wanted: hosts.listed(tx, config)),
    "GetHost": look(machines.resources, Named),
    "AddHost": Action(joining.NewHost, joining.add),
    "RemoveHost": Action(Named, joining.remove),
    "ChangeHost": order(overview.change_host, overview.HostChange),
    "DrainHost": order(moves.drain_host, Named),
    "GetHostContents": look(moves.left_on, Named),
    "ListInstances": look(machines.instances),
    "ResetInstance": order(machines.reset, Named),
    "MigrateInstance": order(moves.move_instance, moves.Move),
    "CancelMove": order(moves.cancel_move, Named),
    "GetMove": look(moves.move_of, Named),
    "ListTypes": look(machines.types),
    "PutType": order(machines.put_type, machines.Type),
    "RemoveType": order(machines.remove_type, Named),
    "RestoreType": order(machines.restore_type, Named),
    "ListZones": look(machines.zones),
    "ListNetworks": look(network.networks),
    "CreateNetworks": order(network.create_networks, network.Cut),
    "RemoveNetwork": order(network.remove_network, network.Range),
    "ListPools": look(network.pools),
    "CreatePool": order(network.create_pool, network.Range),
    "RemovePool": order(network.remove_pool, network.Range),
    "ListAddresses": look(network.public_addresses),
    "ListInterfaces": look(network.interfaces, network.OnHost),
    "ListVolumes": look(storage.volumes),
    "DeleteVolume": order(storage.delete_volume, Named),
    "ListBuckets": look(objects.buckets),
    "ListBucketCounts": look(objects.bucket_counts, objects.OfBucket),
    "ListImages": look(storage.images),
    "GetImage": look(storage.image_of, Named),
    "PrefetchImage": order(storage.prefetch_image, storage.Prefetch),
    "RemoveImage": order(storage.remove_image, Named),
    "TakeInImage": order(storage.take_in_image, storage.Source),
}
