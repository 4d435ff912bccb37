"""Nothing that a client can send raises anything but a refusal with a 4xx status and a message that is short."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from support.signed import KEY, REGION, SECRET, by_form, by_header, by_url

from cumulet.lib.errors import Refusal
from cumulet.wire.models import load
from cumulet.wire.parse import action_of, parse
from cumulet.wire.render import render_error
from cumulet.wire.request import Request, read_form
from cumulet.wire.service import service_of
from cumulet.wire.signature import read, verify

OPERATIONS = [("ec2", name) for name in sorted(load("ec2").operations)] + [
    ("sts", name) for name in sorted(load("sts").operations)
]
WORDS = [
    "Filter",
    "Filters",
    "member",
    "Ebs",
    "Name",
    "Value",
    "Tag",
    "TagSpecification",
    "DryRun",
    "InstanceId",
    "Tags",
]

long = settings(max_examples=400, deadline=None)


def answered(attempt: Callable[[], object]) -> None:
    """Run the attempt; if it is refused, the refusal can be sent."""
    try:
        attempt()
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        assert len(refusal.message) < 500
        assert render_error("ec2", refusal.code, refusal.message, "r-1")


def whole_way(request: Request) -> None:
    """What the dispatcher does with a request up to its handler."""
    form = read_form(request)
    claim = read(request, form)
    service = service_of(request, claim, form)
    if claim:
        verify(claim, SECRET, claim.signed_at or 0, service, REGION)
    if service != "s3":
        parse(load(service), action_of(load(service), form), form)


@st.composite
def forms(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Forms made of the words of an operation, of numbers, and of nonsense."""
    service, operation = draw(st.sampled_from(OPERATIONS))
    members = sorted(load(service).input(operation).members) or WORDS
    part = st.sampled_from(members) | st.sampled_from(WORDS) | st.integers(-1, 12).map(str) | st.text(max_size=3)
    names = draw(st.lists(st.lists(part, min_size=1, max_size=5).map(".".join), max_size=8))
    values = st.text(max_size=8) | st.integers().map(str) | st.sampled_from(["true", "", "1e999", "2026-01-01", "QUJD"])
    return [("Action", operation), *((name, draw(values)) for name in names)]


@long
@given(forms())
def test_any_form(form: list[tuple[str, str]]) -> None:
    model = load("sts") if form[0][1] in load("sts").operations else load("ec2")
    answered(lambda: parse(model, action_of(model, form), form))


@long
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=20))
def test_any_bytes(query: bytes, body: bytes, path: bytes) -> None:
    answered(lambda: whole_way(Request.of("POST", b"/" + path, query, [("host", b"h")], body)))
    answered(lambda: whole_way(Request.of("POST", path, b"Action=RunInstances&X-Amz-Signature=" + query, [], body)))


HEADERS = [
    "authorization",
    "x-amz-date",
    "date",
    "host",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "content-type",
]


@long
@given(st.lists(st.tuples(st.sampled_from(HEADERS), st.text(max_size=30).map(str.encode) | st.binary(max_size=30))))
def test_any_headers(headers: list[tuple[str, bytes]]) -> None:
    headers += [
        ("authorization", b"AWS4-HMAC-SHA256 Credential=A/20260101/r/ec2/aws4_request, Signature=x, SignedHeaders=h")
    ]
    answered(lambda: whole_way(Request.of("GET", "/", "Action=DescribeVpcs", headers)))


@long
@given(st.sampled_from([by_header(), by_header("s3"), by_url(), by_form()]), st.data())
def test_any_change_of_a_good_request(request: Request, data: st.DataObject) -> None:
    def changed(text: bytes) -> bytes:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 4)))
        return text[:start] + data.draw(st.binary(max_size=4)) + text[end:]

    headers = [(name, value.encode("latin-1", "replace")) for name, value in request.headers]
    if headers:
        at = data.draw(st.integers(0, len(headers) - 1))
        headers[at] = (headers[at][0], changed(headers[at][1]))
    query, body = changed(request.query.encode()), changed(request.body or b"")
    answered(lambda: whole_way(Request.of(request.method, request.raw_path, query, headers, body)))


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_secret(secret: str, signature: str) -> None:
    request = by_form()
    form = [(name, value) for name, value in read_form(request) if name != "Signature"] + [
        ("Signature", signature + "=")
    ]
    claim = read(request, form)
    assert claim
    assert claim.access_key == KEY
    answered(lambda: verify(claim, secret, claim.signed_at or 0, "ec2", REGION))
