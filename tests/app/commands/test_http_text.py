"""The three forms in which people keep an HTTP request, and what is said of a text that is none."""

import json

import pytest

from authz.app.commands.http_text import UnreadableRequest, parse_request

BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
RAW = (
    b"POST /mcp?a=1 HTTP/1.1\r\nHost: mcp.example\r\nContent-Type: application/json\r\n"
    b"X-Twice: a\r\nX-Twice: b\r\nContent-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)
CURL = (
    b"* Connected to mcp.example (127.0.0.1) port 80\n> POST /mcp HTTP/1.1\r\n> Host: mcp.example\r\n"
    b"> Content-Type: application/json\r\n> \r\n} [40 bytes data]\n"
)


def har(**changes) -> dict:
    request = {
        "method": "POST",
        "url": "https://mcp.example/mcp?a=1",
        "headers": [{"name": "Content-Type", "value": "application/json"}, {"name": ":authority", "value": "x"}],
        "postData": {"text": BODY.decode()},
    }
    return {"request": {**request, **changes}}


def test_raw_http_is_read_with_its_headers_lower_case_and_repeated_lines_joined():
    request = parse_request(RAW)
    assert (request.method, request.path, request.host, request.body) == ("POST", "/mcp?a=1", "mcp.example", BODY)
    assert request.headers == {"content-type": "application/json", "x-twice": "a,b", "content-length": "40"}
    assert request.size == len(BODY)


def test_the_line_break_that_an_editor_added_is_not_part_of_the_body():
    assert parse_request(RAW + b"\n").body == BODY


def test_a_body_of_another_length_than_announced_is_refused_with_both():
    with pytest.raises(UnreadableRequest) as caught:
        parse_request(RAW + b"xx")
    text = "content-length: expected a body of 40 bytes, got 42: correct one of them, or remove the header"
    assert str(caught.value) == text


def test_a_body_that_curl_did_not_show_is_asked_for():
    with pytest.raises(UnreadableRequest) as caught:
        parse_request(CURL.replace(b"> \r\n", b"> Content-Length: 40\r\n> \r\n") + b"< HTTP/1.1 200 OK\n\nanswer")
    assert str(caught.value) == (
        "expected the body of 40 bytes, which curl does not show: append it after the request headers "
        "(the lines that begin with >)"
    )


def test_curl_shows_the_head_and_the_body_is_what_was_added_before_the_answer():
    text = CURL + BODY + b"\n* upload completely sent off\n< HTTP/1.1 200 OK\n< \n" + b'{"result":1}'
    request = parse_request(text)
    assert (request.method, request.path, request.host, request.body) == ("POST", "/mcp", "mcp.example", BODY)


def test_without_an_added_body_a_request_of_curl_has_none():
    assert parse_request(CURL + b"< HTTP/1.1 200 OK\n\nanswer").body == b""


@pytest.mark.parametrize("wrapped", [har(), har()["request"], {"log": {"entries": [har()]}}])
def test_har_is_read_as_a_file_an_entry_or_a_request(wrapped):
    request = parse_request(json.dumps(wrapped).encode())
    assert (request.method, request.path, request.host, request.body) == ("POST", "/mcp?a=1", "mcp.example", BODY)
    assert request.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "expected a request line such as 'POST /mcp HTTP/1.1', got ''"),
        (b"hello there", "expected a request line such as 'POST /mcp HTTP/1.1', got 'hello there'"),
        (b"GET / HTTP/1.1\nnonsense\n", "expected a header such as 'Name: value', got 'nonsense'"),
        (b'{"a": 1}', "expected a HAR entry with method, url and headers, got KeyError: 'url'"),
        (b'{"log": {"entries": []}}', "expected a HAR file with one entry, got 0: cut out the one you mean"),
        (b"{}", "expected a HAR entry with method, url and headers, got KeyError: 'url'"),
    ],
)
def test_a_text_that_is_no_request_is_refused_with_what_was_expected(text, problem):
    with pytest.raises(UnreadableRequest) as caught:
        parse_request(text)
    assert str(caught.value) == problem


def test_json_that_cannot_be_read_is_refused():
    with pytest.raises(UnreadableRequest, match=r"^expected a HAR file or entry, got JSON that cannot be read: "):
        parse_request(b"{")
