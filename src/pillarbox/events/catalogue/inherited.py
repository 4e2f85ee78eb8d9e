"""Groups of fields that events find in their scope.

An emitter never gives these: whoever opened the session, read the command or began the
transaction put them into the scope, and everything nested in it sees them.  Each group is written
once and named by the events that carry it (``inherits={**SESSION, **MAILBOX}``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.events.field import Field

Group = Mapping[str, Field]

TRANSPORTS: Final = ("insecure", "secured", "TLS")

USER: Final[Group] = {"user": Field("string", "Full name of the user, after normalisation.")}
SERVICE: Final[Group] = {
    "service": Field("string", "Name of the service, as `imap`, `lmtp` or `submission`.")
}
SESSION_ID: Final[Group] = {
    "session": Field("string", "Identifier of the session, the same in every process it passes.")
}
SESSION: Final[Group] = {**USER, **SESSION_ID, **SERVICE}

MAILBOX_GUID: Final[Group] = {
    "mailbox_guid": Field("string", "GUID of the mailbox, 32 hexadecimal digits.")
}
MAILBOX_NAME: Final[Group] = {"mailbox": Field("string", "Full mailbox name, in UTF-8.")}
MAILBOX: Final[Group] = {**MAILBOX_NAME, **MAILBOX_GUID, **SESSION}

REMOTE: Final[Group] = {
    "remote_ip": Field("ip", "Address of the client."),
    "remote_port": Field("integer", "Port of the client."),
}
LOCAL: Final[Group] = {
    "local_ip": Field("ip", "Address of this server that the client connected to."),
    "local_port": Field("integer", "Port of this server that the client connected to."),
}
ADDRESSES: Final[Group] = {**LOCAL, **REMOTE}
REAL_ADDRESSES: Final[Group] = {
    "real_local_ip": Field("ip", "The server's own end of the TCP connection, proxies or not."),
    "real_local_port": Field("integer", "Port of `real_local_ip`."),
    "real_remote_ip": Field("ip", "The other end of the TCP connection: a proxy if there is one."),
    "real_remote_port": Field("integer", "Port of `real_remote_ip`."),
}

PEER_CREDENTIALS: Final[Group] = {
    "remote_pid": Field("integer", "Process ID of the peer on a UNIX socket."),
    "remote_uid": Field("integer", "System user ID of the peer on a UNIX socket."),
}
CLIENT_CONNECTION: Final[Group] = {
    "local_ip": LOCAL["local_ip"],
    **REMOTE,
    **PEER_CREDENTIALS,
}

DESTINATION: Final[Group] = {
    "dest_host": Field("string", "Host name of the destination, or its address if it has none."),
    "dest_ip": Field("ip", "Address of the destination."),
    "dest_port": Field("integer", "Port of the destination."),
}
SOURCE_IP: Final[Group] = {
    "source_ip": Field("ip", "Address that the outgoing connection was bound to, if one was asked.")
}

MAIL_SESSION: Final[Group] = {**USER, **SESSION_ID, **ADDRESSES}

COMMAND: Final[Group] = {
    "cmd_name": Field(
        "string",
        "Command name in capitals; `unknown` when it is no command, so that clients cannot "
        "invent metric labels.",
    ),
    "cmd_args": Field("string", "Parameters of the command, as they were sent."),
}
INPUT_NAME: Final[Group] = {
    "cmd_input_name": Field("string", "Command name exactly as the client wrote it.")
}
HUMAN_ARGS: Final[Group] = {
    "cmd_human_args": Field(
        "string", "Parameters for human eyes: literals and multi-line values are only hinted at."
    )
}
IMAP_COMMAND: Final[Group] = {
    "cmd_tag": Field("string", "Tag that the client gave the command."),
    **COMMAND,
    **INPUT_NAME,
    **HUMAN_ARGS,
    **MAIL_SESSION,
}

AUTH_TRANSPORT: Final[Group] = {
    "mechanism": Field("string", "SASL mechanism in use, as `PLAIN`."),
    **SERVICE,
    "transport": Field(
        "string",
        "Protection of the connection: none, by its nature (loopback, proxy), or TLS.",
        values=TRANSPORTS,
    ),
    **SESSION_ID,
    "client_id": Field("string", "What the client said of itself with IMAP ID, as an IMAP list."),
    "local_name": Field("string", "Server name that the client asked for (TLS SNI)."),
    **ADDRESSES,
    **REAL_ADDRESSES,
}
AUTH_CLIENT: Final[Group] = {
    **AUTH_TRANSPORT,
    "certificate_user": Field("string", "User name found in the client's certificate."),
    "tls_cipher": Field("string", "Cipher of the TLS session."),
    "tls_cipher_bits": Field("integer", "Strength of that cipher.", unit="bits"),
    "tls_pfs": Field("string", "Key exchange that gives forward secrecy."),
    "tls_protocol": Field("string", "TLS version, as `TLSv1.3`."),
}
AUTH_CLIENT_USER: Final[Group] = {
    "user": Field("string", "Name of the user, as far as it is known."),
    "original_user": Field("string", "Name as the client sent it, if it differs."),
    "auth_user": Field("string", "Name whose password was checked, if it differs (master user)."),
}
AUTH_REQUEST: Final[Group] = {
    "user": Field("string", "Full name of the user; lookups on the way may have changed it."),
    "original_user": Field("string", "Name exactly as the client sent it."),
    "translated_user": Field("string", "Name after the character translations of the settings."),
    "login_user": Field("string", "With a master user login, the user to become."),
    "master_user": Field("string", "With a master user login, the master's name."),
    **AUTH_TRANSPORT,
}
PASSDB: Final[Group] = {
    "passdb": Field("string", "Driver of the passdb."),
    "passdb_name": Field("string", "Name of the passdb block in the settings."),
    "passdb_id": Field("integer", "Number of the passdb in the order of the settings."),
}
USERDB: Final[Group] = {
    "userdb": Field("string", "Driver of the userdb."),
    "userdb_name": Field("string", "Name of the userdb block in the settings."),
    "userdb_id": Field("integer", "Number of the userdb in the order of the settings."),
}

SMTP_CONNECTION: Final[Group] = {
    "connection_id": Field(
        "string", "Identifier of the connection, kept by proxies so that both ends can be matched."
    ),
    "protocol": Field("string", "Protocol of the connection.", values=("smtp", "lmtp")),
    **SESSION_ID,
}
SMTP_COMMAND: Final[Group] = {**COMMAND, **INPUT_NAME, **HUMAN_ARGS, **SMTP_CONNECTION}
MAIL_FROM: Final[Group] = {"mail_from": Field("string", "Envelope sender.")}
RCPT_TO: Final[Group] = {"rcpt_to": Field("string", "Envelope recipient.")}
SMTP_TRANSACTION: Final[Group] = {
    "transaction_id": Field(
        "string",
        "Identifier of the transaction: the connection's with `:<number>` added; it is in the "
        "reply to DATA and in the Received header.",
    ),
    **MAIL_FROM,
    "mail_param_auth": Field("string", "AUTH parameter of the MAIL command."),
    "mail_param_body": Field("string", "BODY parameter of the MAIL command."),
    "mail_param_envid": Field("string", "ENVID parameter of the MAIL command."),
    "mail_param_ret": Field("string", "RET parameter of the MAIL command."),
    "mail_param_size": Field("integer", "SIZE parameter of the MAIL command.", unit="bytes"),
    **SMTP_CONNECTION,
}
SMTP_RECIPIENT: Final[Group] = {
    **RCPT_TO,
    "rcpt_param_notify": Field("string", "NOTIFY parameter of the RCPT command."),
    "rcpt_param_orcpt": Field("string", "Address of the ORCPT parameter of the RCPT command."),
    "rcpt_param_orcpt_type": Field("string", "Address type of ORCPT, usually `rfc822`."),
    **SMTP_TRANSACTION,
}

SIEVE_SCRIPT: Final[Group] = {
    "script_name": Field("string", "Name of the script, as the user sees it."),
}
SIEVE_LOCATION: Final[Group] = {
    "script_location": Field("string", "Where the script is stored: driver and place."),
    **USER,
}
SIEVE_MESSAGE: Final[Group] = {**MAIL_FROM, **RCPT_TO, **USER}
