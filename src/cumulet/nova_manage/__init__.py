"""`nova-manage`: the administrator's command of 2012, word for word, over the commands of `cumulet`.

A project is an account, and a member of a project one of its users. Each user has an account of his own name besides,
as he could have a project of that name in 2012.
"""
