"""What signs for the authority, in the place of serles's own: that one drops the names that a request is for."""

from __future__ import annotations

import subprocess
from pathlib import Path

HOME = Path("/srv/authority")


class Backend:
    """Signs with the key in ``HOME``, for as many days as the file ``days`` there says."""

    def __init__(self, config: object) -> None:
        pass

    def sign(self, csr: bytes, *subject: object) -> tuple[str, None]:
        days = (HOME / "days").read_text().strip()
        command = ["openssl", "x509", "-req", "-days", days, "-copy_extensions", "copyall"]
        extensions = ["-extfile", "openssl.cnf", "-extensions", "issued"]
        signed = subprocess.run(
            [*command, *extensions, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
            input=csr,
            stdout=subprocess.PIPE,
            check=True,
            cwd=HOME,
        )
        return signed.stdout.decode() + (HOME / "ca.pem").read_text(), None
