"""One request to S3 from its head to its answer: located, believed, parsed, let in, its body taken, its handler called.

    begin()        what can be said before the body has come: an answer, or None to go on
    feed(pieces)   the body; an answer if it is refused
    end()          the answer

Each is called in a thread, one after the other; between them no thread waits for the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from cumulet.api.s3 import access, access_log, cors, errors, forms, website
from cumulet.api.s3.call import HOST_ID, Answer, Call, House
from cumulet.api.s3.location import Place, locate
from cumulet.api.s3.operations import DIGESTED, EVERYWHERE, INSTEAD, OPERATIONS, Operation
from cumulet.api.s3.receiving import Plain, has_digest, require_length
from cumulet.api.unavailable import NO_DATABASE, unavailable
from cumulet.identity.audit import AuditLog, Trail
from cumulet.identity.s3 import believe
from cumulet.lib import ids
from cumulet.lib.errors import Failure, Refusal
from cumulet.lib.log import Log
from cumulet.model import bucket
from cumulet.model.database import retried
from cumulet.wire.models import load
from cumulet.wire.request import Request, shown
from cumulet.wire.rest_parse import parse_rest
from cumulet.wire.rest_render import render_rest
from cumulet.wire.rest_route import Level, methods_of, route
from cumulet.wire.s3_signature import with_headers_of_url

log = Log("s3")
MAX_XML = 8 << 20
SERVER = "AmazonS3"
"""What the header Server says: its default in "Common response headers" of the S3 API Reference."""
_ACCOUNT = re.compile("[0-9]{12}")
Begun = Callable[[], Answer]


class Exchange:
    def __init__(self, house: House, request: Request, *, has_body: bool = True) -> None:
        self.house = house
        self.request = request
        self._has_body = has_body
        self.request_id = ids.token(16).upper()
        self.received = 0.0
        """When the last byte of the body had come (time.monotonic); 0: with the head, or it has none."""
        self._taken = 0
        self._call: Call | None = None
        self._body: Any = None
        self._finish: Callable[[Any], Answer] | None = None
        self._trail = Trail(self.request_id, request.address, request.header("user-agent") or "")

    def whole(self, body: bytes) -> Answer:
        """The answer to a request whose body is here already."""
        return self.begin() or (self.feed([body]) if body else None) or self.end()

    def begin(self) -> Answer | None:
        return self._noted(self._guarded(lambda: retried(self._begin)))

    def feed(self, pieces: list[bytes]) -> Answer | None:
        """The pieces are taken out of the list, so that there is no second copy of them."""
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._taken += len(piece)
        return self._noted(self._guarded(lambda: self._body.feed(piece)))

    def end(self) -> Answer:
        answer = self._noted(self._guarded(self._end))
        assert answer is not None
        return answer

    def _noted(self, answer: Answer | None) -> Answer | None:
        """What is of a bucket or the account goes into the audit log; what is of an object is not, as with AWS."""
        call = self._call
        if answer is not None and call is not None and call.operation and not call.key_text:
            trail, config = self._trail, self.house.config
            trail.service, trail.action, trail.principal = "s3", call.operation, call.principal
            trail.parameters = {"bucketName": call.bucket_name} if call.bucket_name else None
            log_of = AuditLog(config.audit_directory(), config.audit_days)
            log_of.write(trail, call.database.clock.now(), config.region)
        return answer

    def logs(self) -> bool:
        """Whether its bucket has an access log."""
        return access_log.is_wanted(self._call)

    def log(self, answer: Answer, sent: int, times: access_log.Times) -> None:
        """Write down in that what was answered, with so many bytes of body sent."""
        assert self._call is not None
        access_log.write(self._call, answer, (self._trail.error or ("", ""))[0], sent, times)

    def count(self, answer: Answer, sent: int, times: access_log.Times) -> None:
        """Count the request, of its bucket."""
        self.house.counts.count(self._call, answer, self._taken, sent, times)

    def abort(self) -> None:
        """The client went away: what was written aside is removed."""
        if self._body is not None:
            self._body.abort()

    def _begin(self) -> Answer | None:
        place = locate(self.request, self.house.config)
        call = Call(
            self.house,
            with_headers_of_url(self.request, place.query),
            self.request_id,
            place.query,
            bucket_name=place.bucket,
            key=place.key,
        )
        self._call = call
        if place.website:
            return self._decorated(website.serve(call))
        if self.request.method == "OPTIONS":
            return self._decorated(cors.preflight(call))
        require_length(call)
        if forms.is_form(call):
            self._body, self._finish = forms.begin(call)
            return None
        operation = _operation(call, place)
        with call.one_snapshot():
            self._let_in(call, place, operation)
            self._take(call, place, operation)
            reads = self.request.method in ("GET", "HEAD") and not self._has_body
            return self._finished() if reads else None

    def _let_in(self, call: Call, place: Place, operation: Operation) -> None:
        with call.read() as tx:
            call.claim, call.principal, call.secret = believe(
                call.database,
                tx,
                self.request,
                call.query,
                place.bucket if place.by_host else "",
                call.config.region,
            )
            if call.bucket_name and operation.name != "CreateBucket":
                call.bucket_row = bucket.find(tx, call.bucket_name)
                if call.bucket_row is None:
                    raise errors.no_such_bucket(call.bucket_name)
                _check_owner(call, "x-amz-expected-bucket-owner", call.bucket.account)
                access.check_payer(call, call.bucket)
        if operation.needs is not None:
            access.require(call, call.bucket, *operation.needs)

    def _take(self, call: Call, place: Place, operation: Operation) -> None:
        model = load("s3")
        path = {"Bucket": call.bucket_name, "Key": call.key_text}

        def parse(body: bytes | None) -> dict[str, Any]:
            try:
                given = parse_rest(model, operation.name, call.request, place.query, path, body)
            except Refusal as e:
                raise _malformed_list(e) if operation.name.endswith("Acl") else e from None
            return _honoured(operation, given)

        if operation.receive is not None:
            given = parse(None)
            self._body = operation.receive(call, given)
            self._finish = lambda received: _called(call, operation, given, received)
        else:
            if operation.name in DIGESTED and not has_digest(call):
                missing = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
                raise errors.invalid_request(missing)
            self._body = Plain(call, MAX_XML)
            self._finish = lambda body: _called(call, operation, parse(body))

    def _end(self) -> Answer:
        assert self._finish is not None
        finish, body = self._finish, self._body.finish()
        answer = retried(lambda: finish(body))
        return self._decorated(answer)

    def _finished(self) -> Answer:
        """The same within what is done again as a whole."""
        assert self._finish is not None
        return self._decorated(self._finish(self._body.finish()))

    def _decorated(self, answer: Answer) -> Answer:
        answer.headers += [("x-amz-request-id", self.request_id), ("x-amz-id-2", HOST_ID), ("Server", SERVER)]
        if self._call is not None and self._call.charged and answer.status < 400:
            answer.headers.append(("x-amz-request-charged", "requester"))
        named = {name.lower() for name, _ in answer.headers}
        if answer.body and "content-type" not in named:
            answer.headers.append(("Content-Type", "application/xml"))
        if self._call is not None and self.request.header("origin") is not None and self.request.method != "OPTIONS":
            answer.headers += cors.of_answer(self._call)
        return answer

    def _guarded(self, step: Callable[[], Answer | None]) -> Answer | None:
        try:
            return step()
        except Refusal as e:
            return self._refused(e)
        except NO_DATABASE as e:
            log.error("a request met no database", request=self.request_id, what=type(e).__name__, error=e)
            return self._refused(unavailable("s3", e))
        except Failure as e:
            log.error("the store cannot be used", request=self.request_id, error=e)
            return self._refused(Refusal("ServiceUnavailable", "Please reduce your request rate.", 503))
        except Exception:  # noqa: BLE001 - a mistake of ours must not show its inside to a client
            log.exception("a request failed", request=self.request_id)
            why = f"We encountered an internal error. Its trace is in the log as {self.request_id}."
            return self._refused(Refusal("InternalError", why, 500))

    def _refused(self, refusal: Refusal) -> Answer:
        self._trail.error = refusal.code, refusal.message
        self.abort()
        headers = list(refusal.headers.items()) if isinstance(refusal, errors.S3Refusal) else []
        if self._call is not None and self._call.bucket_name and refusal.status in (301, 400, 403):
            headers.append(("x-amz-bucket-region", self.house.config.region))
        path = self.request.raw_path
        body = errors.error_body(refusal, path, self.request_id, HOST_ID) if refusal.status != 304 else b""
        answer = Answer(refusal.status, headers, body)
        if refusal.status != 304:
            answer.headers.append(("Content-Type", "application/xml"))
        return self._decorated(answer)


def _called(call: Call, operation: Operation, given: dict[str, Any], *received: Any) -> Answer:
    """Not a method: an exchange that its own `_finish` holds is there until cycles are looked for, which is seldom."""
    result = operation.function(call, dict(given), *received)  # handlers take from it, and may be called again
    if isinstance(result, Answer):
        return result
    headers, body = render_rest(load("s3"), operation.name, result)
    status = load("s3").operation(operation.name).http.response_code
    return Answer(204 if not body and status == 204 else 200, headers, body)


def _operation(call: Call, place: Place) -> Operation:
    names = [name for name, _ in call.request.headers]
    name = route(load("s3"), call.request.method, place.level, place.query, names)
    if name is None:
        resource = "OBJECT" if call.key else place.level.upper()
        raise errors.method_not_allowed(call.request.method, resource, methods(place.level))
    call.operation = name
    found = OPERATIONS.get(name)
    if found is None:
        raise errors.unsupported(f"The operation {name}", INSTEAD.get(name, "see the list of those that it has."))
    return found


def _honoured(operation: Operation, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the operation honours; raises NotImplemented for another, by its name."""
    for name in list(given):
        if name in operation.honours:
            continue
        if name not in EVERYWHERE and name not in operation.accepts and not name.startswith("Checksum"):
            why = INSTEAD.get(name, "it would have no effect.")
            raise errors.unsupported(f"The parameter {name} of {operation.name}", why)
        if not name.startswith("Checksum"):
            del given[name]
    return given


@cache
def methods(level: Level) -> str:
    """The methods that there are for a thing, as the header Allow has them (RFC 9110, 15.5.6)."""
    found = methods_of(load("s3"), level) | ({"OPTIONS"} if level != "service" else set())
    return ", ".join(sorted(found))


def _malformed_list(refusal: Refusal) -> Refusal:
    """XML that is no access control list has a code of its own."""
    return errors.malformed_list(refusal.message) if refusal.code == "MalformedXML" else refusal


def _check_owner(call: Call, header: str, account: str) -> None:
    wanted = call.header(header)
    if wanted is None or wanted == account:
        return
    if not _ACCOUNT.fullmatch(wanted):
        why = "The value of the expected bucket owner parameter must be an AWS account ID"
        raise errors.S3Refusal("InvalidBucketOwnerAWSAccountID", why, 400, InvalidValue=shown(wanted))
    raise errors.denied()
