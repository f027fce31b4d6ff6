import pytest

from samecar.addresses import check_address, is_address, shown_address
from samecar.errors import SamecarError


@pytest.mark.parametrize("text", ["rtsp://camera/1", "http://10.0.0.1:8080/", "HTTPS://a", "rtmp+tls://a"])
def test_addresses_are_told_from_paths(text):
    assert is_address(text)


@pytest.mark.parametrize("text", ["monday.mp4", "/films/a:b.mp4", "://a", "a b://c", "C:/films/a.mp4", ""])
def test_paths_are_no_addresses(text):
    assert not is_address(text)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://anna:geheim@camera:554/user=anna&password=geheim", "rtsp://camera:554"),
        ("https://hooks.example.org/services/T0/B0/geheim?key=geheim#geheim", "https://hooks.example.org"),
        ("http://anna:gehe@im@camera/1", "http://camera"),
        ("rtsp://[fe80::1]:554/1", "rtsp://[fe80::1]:554"),
        ("rtsp://anna:ge#heim@camera/1", "rtsp://…"),
        ("rtsp://[geheim", "rtsp://…"),
    ],
)
def test_only_scheme_host_and_port_are_shown(address, shown):
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("camera/geheim", "the address of a camera has no scheme; give one that begins with rtsp:// or http://"),
        ("file:///geheim", "the address of a camera begins with 'file://'; give one"),
        ("http:///geheim", "the address of a camera names no host that can be understood; write http://HOST:PORT/PATH"),
        ("http://camera:geheim/", "names no host that can be understood"),
        ("http://camera/geheim\n", "names no host that can be understood"),
        ("http://[camera/geheim", "names no host that can be understood"),
    ],
)
def test_what_is_no_such_address_is_refused_without_its_secrets(address, sentence):
    with pytest.raises(SamecarError) as raised:
        check_address(address, ("rtsp", "http"), "a camera")
    assert sentence in str(raised.value)
    assert "geheim" not in str(raised.value)


def test_an_address_of_a_known_kind_is_taken():
    check_address("RTSP://anna:geheim@camera:554/1", ("rtsp",), "a camera")
