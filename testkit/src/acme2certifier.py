"""Serves acme2certifier on 127.0.0.1: acme2certifier.py PORT DNS_PORT HTTP_PORT. Its config: $ACME_SRV_CONFIGFILE."""

import sys

import dns.resolver
import urllib3.util.connection
import waitress

PORT, DNS_PORT, HTTP_PORT = (int(argument) for argument in sys.argv[1:])


class TestResolver(dns.resolver.Resolver):
    """acme2certifier can be told of other DNS servers, but not of another port than 53."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.port = DNS_PORT


connect = urllib3.util.connection.create_connection


def connect_for_test(address, *arguments, **options):
    """Validation of http-01 knows no other port than 80 (RFC 8555 section 8.3)."""
    host, port = address
    return connect((host, HTTP_PORT if port == 80 else port), *arguments, **options)


dns.resolver.Resolver = TestResolver
urllib3.util.connection.create_connection = connect_for_test

# Last, because it reads the config and takes names from the modules above.
from acme2certifier.share.acme2certifier_wsgi import application  # noqa: E402

waitress.serve(application, host="127.0.0.1", port=PORT)
