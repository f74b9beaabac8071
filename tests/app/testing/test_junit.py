"""JUnit's XML says what the terminal says."""

from __future__ import annotations

from xml.etree import ElementTree

from authz.app.testing.junit import junit


def test_each_file_is_a_suite_and_each_case_a_testcase(playing):
    played = playing(
        {
            "team/bank.yaml": "version: 1\ntools: {get: allow}\n",
            "team/bank_test.yaml": (
                "version: 1\ncases:\n  - {name: a, tool: get, expect: allow}\n"
                '  - {name: "b <&>", tool: zap, expect: deny, detail: "\\u0007"}\n'
            ),
            "shop.yaml": "version: 1\n",
            "shop_test.yaml": "version: 1\ncases: [{name: c, tool: get, expect: deny}]",
        }
    )
    root = ElementTree.fromstring(junit(played.outcomes, 0.25))  # noqa: S314 - made here
    assert root.tag == "testsuites"
    assert root.attrib == {
        "name": "mcp-authz test",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "0.250",
    }
    shop, bank = root.findall("testsuite")
    assert (shop.get("name"), shop.get("tests"), bank.get("failures")) == ("shop_test.yaml", "1", "1")
    passed, failed = bank.findall("testcase")
    assert passed.attrib == {
        "classname": "team.bank_test",
        "name": "a",
        "file": "team/bank_test.yaml",
        "line": "3",
    }
    assert list(passed) == []
    (failure,) = failed
    assert (failed.get("name"), failed.get("line")) == ("b <&>", "4")
    assert failure.get("message") == "detail: expected a part '\\x07', got ''"
    assert failure.text is not None
    assert failure.text.splitlines()[1:] == [
        "tools: no block 1 names and globs, none matches",
        "default: held the policy's default",
    ]


def test_what_xml_cannot_say_is_replaced(playing):
    played = playing(
        {
            "bank.yaml": "version: 1\n",
            "bank_test.yaml": 'version: 1\ncases: [{name: "a\\u0001\\u0008", tool: x, expect: deny}]',
        }
    )
    root = ElementTree.fromstring(junit(played.outcomes, 0))  # noqa: S314 - made here
    assert root[0][0].get("name") == "a\ufffd\ufffd"
