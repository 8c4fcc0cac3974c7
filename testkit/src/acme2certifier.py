"""Serves acme2certifier on 127.0.0.1: acme2certifier.py PORT DNS_PORT. Its config is in $ACME_SRV_CONFIGFILE."""

import sys

import dns.resolver
import waitress

port, dns_port = int(sys.argv[1]), int(sys.argv[2])


class TestResolver(dns.resolver.Resolver):
    """acme2certifier can name other DNS servers, but not another port than 53."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.port = dns_port


dns.resolver.Resolver = TestResolver

# Reads the config while it is imported.
from acme2certifier.share.acme2certifier_wsgi import application  # noqa: E402

waitress.serve(application, host="127.0.0.1", port=port)
