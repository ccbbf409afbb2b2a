"""The TLS contexts of servers and clients: the same for every loop.

TLS 1.3 with OpenSSL's own choice of cipher. The key is an elliptic one (P-256), which is cheap to
sign with: a costly one would hide the loops behind the arithmetic.
"""

import ssl
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "certs" / "localhost.crt"
KEY = CERTIFICATE.with_suffix(".key")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def client_context() -> ssl.SSLContext:
    """It does not look at the certificate: that would be the client's cost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
