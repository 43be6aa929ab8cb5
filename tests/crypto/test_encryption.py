from __future__ import annotations

from ltiaas_middleware._crypto.encryption import Encryptor

SECRETS = ["a secret that is long"]


def test_the_same_content_is_never_sealed_the_same_way():
    """A nonce that repeats gives AES-GCM's key stream away (NIST SP 800-38D section 8)."""
    encryptor = Encryptor(SECRETS, "redis")
    sealed = {encryptor.encrypt(b"content", b"place") for _ in range(100)}
    assert len({one[1:13] for one in sealed}) == 100


def test_it_opens_for_its_purpose_and_place_only():
    sealed = Encryptor(SECRETS, "redis").encrypt(b"content", b"place")
    assert Encryptor(SECRETS, "redis").decrypt(sealed, b"place").content == b"content"
    assert Encryptor(SECRETS, "redis").decrypt(sealed, b"elsewhere") is None
    assert Encryptor(SECRETS, "service-keys").decrypt(sealed, b"place") is None
    assert Encryptor(["another secret, long"], "redis").decrypt(sealed, b"place") is None
