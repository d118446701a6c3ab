"""What is left of a person in a release: two numbers, made under the release's secret.

    digest     = HMAC-SHA256(secret of the release, person)
    record key = bytes 0 to 3, unsigned, big-endian (`broker.statistics.keys`)
    person     = bytes 8 to 15, unsigned, big-endian, without its lowest bit

The next release has another secret: nobody is the same number in both.
"""

from __future__ import annotations

import hmac

from broker.statistics.keys import check_secret


def collapsed(secret_release: bytes, person: str) -> tuple[int, int]:
    """Return a person's number, 0 to 2^63 - 1, and record key.

    Raises StatisticsRefused("secret_malformed").
    """
    check_secret(secret_release)
    digest = hmac.digest(secret_release, person.encode(), "sha256")
    return int.from_bytes(digest[8:16], "big") >> 1, int.from_bytes(digest[:4], "big")
