"""Names that people try because they know them from other servers or older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RENAMED: Final[Mapping[str, str]] = {
    "mail_location": "write mail_driver and mail_path",
    "disable_plaintext_auth": "write auth_allow_cleartext, which means the opposite",
    "ssl_cert": "write ssl_server_cert_file, with the path alone",
    "ssl_key": "write ssl_server_key_file, with the path alone",
    "ssl_cert_file": "write ssl_server_cert_file",
    "ssl_key_file": "write ssl_server_key_file",
    "ssl_ca": "write ssl_server_ca_file, with the path alone",
    "ssl_client_ca_file": "write ssl_server_ca_file",
    "ssl_verify_client_cert": "write ssl_request_client_cert",
    "auth_default_realm": "write auth_default_domain",
    "base_dir_path": "write base_dir",
    "log_level": "write log_debug with an event filter, such as event=auth_*",
    "mail_attribute": "write mail_attribute_dict, with the name of a [dict.NAME]",
    "mail_debug": 'write log_debug = "category=mail"',
    "auth_debug": 'write log_debug = "category=auth"',
    "plugin": "every setting of a plugin stands by itself, without [plugin]",
    "protocol": "settings for one protocol alone are not known; write them for all",
    "namespace": "this version has one namespace; mailboxes are declared as [mailbox.NAME]",
}
