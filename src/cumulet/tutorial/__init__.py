"""The tutorial of 2012 from its first to its last line: an installation as it had, its administrator, two tenants.

One tenant uses today's `aws`, the other boto 2 with the EC2 API of 2012.
"""
