"""Lists of objects, versions and uploads: order, prefixes, delimiters, pages; and what they cost."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError
from botocore.handlers import set_list_objects_encoding_type_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, keys, made, prefixes, put, signed

from cumulet.api.s3.listing import BY_KEY, page

KEYS = ["a", "a/1", "a/2", "b/1/x", "b/2", "c", "ä", "\U0001f600", "\uffff"]


@pytest.fixture
def s3(cloud: Any) -> Any:
    found = support.client(cloud)
    made(found)
    return found


def test_keys_come_in_the_order_of_their_bytes(cloud: Any, s3: Any) -> None:
    put(s3, *reversed(KEYS))
    assert keys(s3.list_objects_v2(Bucket=BUCKET)) == sorted(KEYS, key=str.encode)
    assert keys(s3.list_objects(Bucket=BUCKET, Prefix="a/")) == ["a/1", "a/2"]


def test_a_delimiter_rolls_keys_up(cloud: Any, s3: Any) -> None:
    put(s3, *KEYS)
    found = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    assert (keys(found), prefixes(found)) == (["a", "c", "ä", "\uffff", "\U0001f600"], ["a/", "b/"])
    assert found["KeyCount"] == 7
    below = s3.list_objects(Bucket=BUCKET, Delimiter="/", Prefix="b/")
    assert (keys(below), prefixes(below)) == (["b/2"], ["b/1/"])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_pages_together_are_the_whole(cloud: Any, s3: Any, most: int) -> None:
    put(s3, *KEYS)
    for name in ("list_objects", "list_objects_v2"):
        pages = list(s3.get_paginator(name).paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": most}))
        assert [key for one in pages for key in keys(one)] == ["a", "c", "ä", "\uffff", "\U0001f600"]
        assert [prefix for one in pages for prefix in prefixes(one)] == ["a/", "b/"]
        assert all(len(keys(one)) + len(prefixes(one)) <= most for one in pages)


def test_a_list_goes_on_behind_a_key_or_a_prefix(cloud: Any, s3: Any) -> None:
    put(s3, *KEYS[:6])
    assert keys(s3.list_objects_v2(Bucket=BUCKET, StartAfter="a/1")) == ["a/2", "b/1/x", "b/2", "c"]
    assert keys(s3.list_objects(Bucket=BUCKET, Marker="b")) == ["b/1/x", "b/2", "c"]
    found = s3.list_objects(Bucket=BUCKET, Marker="a/", Delimiter="/")
    assert (keys(found), prefixes(found)) == (["c"], ["b/"])
    assert prefixes(s3.list_objects(Bucket=BUCKET, Marker="a/1", Delimiter="/")) == ["b/"]
    assert prefixes(s3.list_objects_v2(Bucket=BUCKET, StartAfter="a/1", Delimiter="/")) == ["a/", "b/"]
    assert prefixes(s3.list_objects_v2(Bucket=BUCKET, StartAfter="a/2", Delimiter="/")) == ["b/"]
    assert s3.list_objects(Bucket=BUCKET, MaxKeys=0)["IsTruncated"] is False
    for token in ("!", "blah", "YQ=", ""):  # what nobody was given
        assert code(s3.list_objects_v2, Bucket=BUCKET, ContinuationToken=token) == "InvalidArgument"
    assert code(s3.list_objects, Bucket=BUCKET, MaxKeys=-1) == "InvalidArgument"


def test_keys_may_have_any_character(cloud: Any, s3: Any) -> None:
    strange = ["..", "../x", "//", "a//b", " ", "a b+c%2F", "\n\t", "x" * 1024, "ü" * 512, "?#&=", "./.", "\x01"]
    put(s3, *strange)
    assert sorted(keys(s3.list_objects_v2(Bucket=BUCKET))) == sorted(strange)
    for key in strange:
        assert support.body(s3, key) == b"x"
    assert code(s3.put_object, Bucket=BUCKET, Key="y" * 1025) == "KeyTooLongError"
    for key in strange:
        s3.delete_object(Bucket=BUCKET, Key=key)
    assert support.is_tidy(cloud)


NAMELESS = "dir\x07/a\x01b\ufffe"
"""A key with what XML 1.0 cannot hold, not as a reference either."""
SHOWN = "dir&#x7;/a&#x1;b&#xfffe;"


def test_a_list_tells_each_key_whatever_is_in_it(cloud: Any, s3: Any) -> None:
    """As boto3 lists: with `encoding-type=url`, which it asks for and undoes by itself but for uploads."""
    put(s3, NAMELESS)
    s3.create_multipart_upload(Bucket=BUCKET, Key=NAMELESS)
    assert keys(s3.list_objects(Bucket=BUCKET)) == keys(s3.list_objects_v2(Bucket=BUCKET)) == [NAMELESS]
    assert prefixes(s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")) == ["dir\x07/"]
    assert s3.list_object_versions(Bucket=BUCKET)["Versions"][0]["Key"] == NAMELESS
    found = s3.list_multipart_uploads(Bucket=BUCKET, EncodingType="url")["Uploads"][0]["Key"]
    assert unquote(found) == NAMELESS
    s3.delete_object(Bucket=BUCKET, Key=keys(s3.list_objects_v2(Bucket=BUCKET))[0])
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("query", ["list-type=2", "marker=", "versions=", "uploads="])
def test_a_list_that_cannot_tell_a_key_names_no_other(cloud: Any, s3: Any, query: str) -> None:
    """As S3 writes it, which is no XML 1.0: a client that reads it strictly says so, and one that does not is right."""
    put(s3, NAMELESS)
    s3.create_multipart_upload(Bucket=BUCKET, Key=NAMELESS)
    answer = support.signed(cloud, "GET", f"/{BUCKET}?{query}&prefix=dir%07")
    assert (answer.status, answer.text("Key"), answer.text("Prefix")) == (200, SHOWN, "dir&#x7;")
    answer = support.signed(cloud, "GET", f"/{BUCKET}?{query}&delimiter=%2F&prefix=d")
    assert "<CommonPrefixes><Prefix>dir&#x7;/</Prefix>" in answer.body.decode()


def test_a_client_that_reads_a_list_strictly_says_so(cloud: Any, s3: Any) -> None:
    """boto3 says it as a failure of the server that it takes for one that will pass."""
    put(s3, NAMELESS)
    s3.meta.events.unregister("before-parameter-build.s3.ListObjectsV2", set_list_objects_encoding_type_url)
    with pytest.raises(ClientError, match="Internal Server Error"):
        s3.list_objects_v2(Bucket=BUCKET)


def test_what_repeats_the_name_of_the_request_can_be_read(cloud: Any, s3: Any) -> None:
    upload = {"Bucket": BUCKET, "Key": NAMELESS}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert done["Key"] == "dir\ufffd/a\ufffdb\ufffd"
    assert support.body(s3, NAMELESS) == b"x"


def test_versions_are_listed_from_new_to_old(cloud: Any, s3: Any) -> None:
    put(s3, "k")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    second = put(s3, "k")["VersionId"]
    marker = s3.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    put(s3, "l")
    found = s3.list_object_versions(Bucket=BUCKET)
    assert [(one["Key"], one["VersionId"], one["IsLatest"]) for one in found["Versions"]][:2] == [
        ("k", second, False),
        ("k", "null", False),
    ]
    assert [(one["VersionId"], one["IsLatest"]) for one in found["DeleteMarkers"]] == [(marker, True)]
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 1}))
    ids = [one["VersionId"] for page_ in pages for one in [*page_.get("Versions", []), *page_.get("DeleteMarkers", [])]]
    assert ids[:3] == [marker, second, "null"]
    assert keys(s3.list_objects_v2(Bucket=BUCKET)) == ["l"]


def test_uploads_are_listed_until_they_are_done(cloud: Any, s3: Any) -> None:
    ids = [s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in ("a/1", "b", "b")]
    found = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in found] == [("a/1", ids[0]), ("b", ids[1]), ("b", ids[2])]
    one = s3.list_multipart_uploads(Bucket=BUCKET, MaxUploads=2)
    assert (one["IsTruncated"], one["NextKeyMarker"], one["NextUploadIdMarker"]) == (True, "b", ids[1])
    rest = s3.list_multipart_uploads(Bucket=BUCKET, KeyMarker="b", UploadIdMarker=ids[1])["Uploads"]
    assert [other["UploadId"] for other in rest] == [ids[2]]
    assert prefixes(s3.list_multipart_uploads(Bucket=BUCKET, Delimiter="/")) == ["a/"]


class Counted:
    """A bucket of rows in memory that counts how often it is asked."""

    def __init__(self, names: list[bytes]) -> None:
        self.names = sorted(names)
        self.rows = 0

    def fetch(self, start: bytes, beyond: Any, end: bytes | None, limit: int) -> list[Any]:
        found = [key for key in self.names if (key > start if beyond else key >= start) and (end is None or key < end)]
        self.rows += min(len(found), limit)
        return [_Row(key) for key in found[:limit]]


class _Row:
    def __init__(self, key: bytes) -> None:
        self.key = key


text = st.text(alphabet="ab/", max_size=5).map(str.encode)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(text.filter(bool), unique=True), text, st.sampled_from([b"", b"/", b"a", b"ab"]), st.integers(1, 4))
def test_pages_are_what_a_plain_look_at_all_keys_gives(
    names: list[bytes], prefix: bytes, cut: bytes, most: int
) -> None:
    expected: list[bytes] = []
    for key in sorted(names):
        if key.startswith(prefix):
            at = key.find(cut, len(prefix)) if cut else -1
            shown = key if at < 0 else key[: at + len(cut)]
            if shown not in expected:
                expected.append(shown)
    bucket = Counted(names)
    found: list[bytes] = []
    marker: bytes | None = None
    for _ in range(50):
        from cumulet.api.s3.listing import behind

        start = (b"", False) if marker is None else behind(marker, prefix, cut, True, BY_KEY)
        one = page(bucket.fetch, BY_KEY, prefix, cut, start, most)
        found += sorted([*(row.key for row in one.rows), *one.prefixes])
        if not one.truncated:
            break
        marker = one.last
    assert found == expected


def test_a_list_reads_what_it_shows_and_not_what_is_below_a_prefix(cloud: Any, s3: Any) -> None:
    """The rows that a list looks at do not grow with the bucket: common prefixes are skipped by seeking."""
    names = [f"{d:02}/{n:05}".encode() for d in range(20) for n in range(2000)]
    bucket = Counted(names)
    one = page(bucket.fetch, BY_KEY, b"", b"/", (b"", False), 1000)
    assert one.prefixes == [f"{d:02}/".encode() for d in range(20)]
    assert bucket.rows <= 20 * 16
    if cloud.config.database_url:
        return  # how a plan is asked for and said is each database's own
    with cloud.database.read() as tx:
        asked = "SELECT * FROM object_version WHERE bucket = 'b' AND listed = 1 AND key > 'k' ORDER BY key LIMIT 9"
        plan = " ".join(str(row) for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}"))
    assert "ix_object_version_bucket_listed_key" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        ("marker=%20b", {"Prefix": "%0A", "Delimiter": "%20", "Marker": "%20b"}),
        ("list-type=2&start-after=%20b", {"Prefix": "%0A", "Delimiter": "%20", "StartAfter": "%20b"}),
        ("versions&key-marker=%20b", {"Prefix": "%0A", "Delimiter": "%20", "KeyMarker": "%20b"}),
        ("uploads&key-marker=%20b", {"Prefix": "%0A", "Delimiter": "%20", "KeyMarker": "%20b"}),
    ],
)
def test_what_a_list_repeats_is_encoded_as_its_keys_are(
    cloud: Any, s3: Any, query: str, encoded: dict[str, str]
) -> None:
    """All that the elements EncodingType of the S3 API Reference name, in each kind of list."""
    answer = signed(cloud, "GET", f"/{BUCKET}?{query}&prefix=%0A&delimiter=%20&encoding-type=url")
    assert answer.status == 200
    for name, text in {**encoded, "EncodingType": "url"}.items():
        assert f"<{name}>{text}</{name}>" in answer.body.decode()
