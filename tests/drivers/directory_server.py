"""A real slapd for tests, with a few users in it; `ldap`, `ldaps` and `ldapi` are its addresses."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from database_servers import DatabaseServer, free_port, program

BASE = "dc=example,dc=com"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "adm1n"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/localhost.pem
TLSCertificateKeyFile {folder}/localhost.pem
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw adm1n
directory {folder}/data
dbnosync
index uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""

TOP = """dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
"""

PERSON = """
dn: cn={rdn},ou=people,dc=example,dc=com
objectClass: inetOrgPerson
objectClass: posixAccount
cn: {cn}
sn: {cn}
uid: {uid}
uidNumber: {number}
gidNumber: 2
homeDirectory: {home}
mail: {uid}@example.com
"""


def person(uid: str, number: int, home: str, cn: str, *more: str) -> str:
    """A user's entry."""
    rdn = cn.replace(",", "\\,")
    given = PERSON.format(uid=uid, number=number, home=home, cn=cn, rdn=rdn)
    return given + "".join(f"{line}\n" for line in more)


class Slapd(DatabaseServer):
    """The server."""

    owner = "openldap"

    def programs(self) -> None:
        self.server, self.adder = program("slapd", "/usr/sbin"), program("slapadd", "/usr/sbin")
        self.searcher = program("ldapsearch")
        self.tls_port = free_port()

    @property
    def ldap(self) -> str:
        return f"ldap://localhost:{self.port}"

    @property
    def ldaps(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ldapi(self) -> str:
        return f"ldapi://{quote(str(self.folder / 'socket'), safe='')}"

    def prepare(self) -> None:
        (self.folder / "data").mkdir()
        config = self.folder / "slapd.conf"
        config.write_text(CONFIG.format(folder=self.folder))
        self.give(self.folder / "data", config)
        people = [
            person(
                "bob",
                1,
                "/b",
                "Bob, (the) *Builder*",
                "userPassword: secret",
                "description: 99",
                "mail: robert@example.com",
            ),
            person("sue", 3, "/s", "Sue", "userPassword: {SSHA}wpSQC2nN0MLzyvCrzdMcG0VqPWe3YqLB"),
            person("keyless", 4, "/k", "No Key"),
            person("twin", 5, "/t", "Twin 1"),
            person("twin", 6, "/t", "Twin 2"),
        ]
        self.run(self.adder, "-f", str(config), data="".join([TOP, *people]).encode())

    def command(self) -> Sequence[str]:
        addresses = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} {self.ldapi}"
        return [self.server, "-f", str(self.folder / "slapd.conf"), "-h", addresses, "-d", "0"]

    def ready(self) -> bool:
        try:
            self.run(self.searcher, "-x", "-H", self.ldapi, "-b", BASE, "-s", "base")
        except AssertionError:
            return False
        return True

    def fill(self) -> None:
        """Everything is there already."""
