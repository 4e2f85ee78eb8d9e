"""Settings of the Sieve interpreter and of what scripts may do at delivery."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import DAY, HOUR, SECOND, Doc
from pillarbox.settings.schema.sieve_programs import SieveProgramsSettings

StatusType = Literal["score", "strlen", "text"]


class SieveListSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One external list (RFC 6134)."""

    members: Annotated[tuple[str, ...], Doc("Its members; case does not matter.")] = ()
    dict: Annotated[
        str, Doc("Name of a `dict` block that has the members as keys `priv/MEMBER`.")
    ] = ""


class SieveSettings(SieveProgramsSettings, frozen=True, kw_only=True):
    """Extensions, limits and actions of Sieve."""

    sieve_extensions: Annotated[
        tuple[str, ...],
        Doc(
            "Extensions that scripts may use; `+NAME` and `-NAME` change what is allowed by "
            "default, which is all but `vnd.dovecot.pipe`, `.filter` and `.execute`."
        ),
    ] = ()
    sieve_global_extensions: Annotated[
        tuple[str, ...],
        Doc("Extensions that only scripts of the administrator may use, beside the others."),
    ] = ()
    sieve_max_actions: Annotated[int, Doc("Actions of one script run; 0: any number.")] = 32
    sieve_max_redirects: Annotated[
        int, Doc("Redirects of one script run; 0: redirecting is forbidden.")
    ] = 4
    sieve_max_cpu_time: Annotated[
        float, Doc("CPU time of one script run; 0: any time.", kind="time")
    ] = 30 * SECOND
    sieve_include_max_nesting_depth: Annotated[int, Doc("Depth of included scripts.")] = 10
    sieve_include_max_includes: Annotated[int, Doc("Scripts that one script may include.")] = 255
    sieve_variables_max_variable_count: Annotated[int, Doc("Variables of one script.")] = 255
    sieve_variables_max_variable_size: Annotated[
        int, Doc("Characters of a variable's value; longer ones are cut.")
    ] = 4000
    sieve_user_email: Annotated[
        str,
        Doc(
            "The user's address, with variables of the user; empty: the recipient's, or the "
            "user's name if it is an address."
        ),
    ] = ""
    postmaster_address: Annotated[
        str, Doc("Address of the postmaster; empty: postmaster at the domain of `hostname`.")
    ] = ""
    sieve_dict: Annotated[
        str,
        Doc(
            "Name of the `dict` block that remembers who was answered and what was seen; empty: "
            "a file in each user's home."
        ),
    ] = ""
    sieve_env: Annotated[
        dict[str, str],
        Doc("Values that scripts read as environment item `vnd.dovecot.config.NAME`."),
    ] = msgspec.field(default_factory=dict)
    sieve_redirect_envelope_from: Annotated[
        str,
        Doc(
            "Envelope sender of redirected mail: `sender`, `recipient`, `orig_recipient`, "
            "`user_email`, `postmaster` or an `<address>`. Mail without a sender stays without."
        ),
    ] = "sender"
    sieve_redirect_duplicate_period: Annotated[
        float,
        Doc("How long a message is not redirected again to the same address.", kind="time"),
    ] = 12 * HOUR
    sieve_vacation_min_period: Annotated[
        float, Doc("Shortest time between two answers to one sender.", kind="time")
    ] = DAY
    sieve_vacation_max_period: Annotated[
        float, Doc("Longest such time that a script may ask for; 0: any.", kind="time")
    ] = 0.0
    sieve_vacation_default_period: Annotated[
        float, Doc("The time where a script names none.", kind="time")
    ] = 7 * DAY
    sieve_vacation_default_subject: Annotated[
        str, Doc("Subject of answers without one; empty: `Auto: ` and that of the message.")
    ] = ""
    sieve_vacation_dont_check_recipient: Annotated[
        bool, Doc("Answer mail too that names none of the user's addresses.")
    ] = False
    sieve_vacation_send_from_recipient: Annotated[
        bool, Doc("Answers come from the envelope's recipient.")
    ] = False
    sieve_duplicate_default_period: Annotated[
        float, Doc("How long `duplicate` remembers where a script names no time.", kind="time")
    ] = 12 * HOUR
    sieve_duplicate_max_period: Annotated[
        float, Doc("How long it remembers at most.", kind="time")
    ] = 2 * DAY
    sieve_editheader_max_header_size: Annotated[
        int, Doc("Largest header field that `addheader` may add.", kind="size", least=1024)
    ] = 2048
    sieve_editheader_protected: Annotated[
        tuple[str, ...], Doc("Header fields that scripts may neither add nor delete.")
    ] = ()
    sieve_editheader_forbid_add: Annotated[
        tuple[str, ...], Doc("Header fields that scripts may not add.")
    ] = ()
    sieve_editheader_forbid_delete: Annotated[
        tuple[str, ...], Doc("Header fields that scripts may not delete.")
    ] = ()
    sieve_notify_mailto_envelope_from: Annotated[
        str,
        Doc(
            "Envelope sender of notifications, as for `sieve_redirect_envelope_from`; empty: the "
            "user, or nobody for mail that had no sender."
        ),
    ] = ""
    sieve_report_from: Annotated[
        str, Doc("From of reports: `postmaster`, `recipient`, `user_email` or an `<address>`.")
    ] = "postmaster"
    sieve_extlists_list: Annotated[
        dict[str, SieveListSettings], Doc("External lists by name, for `:list`.")
    ] = msgspec.field(default_factory=dict)
    sieve_spamtest_status_header: Annotated[
        str, Doc("Field with the spam scanner's verdict: `Field` or `Field: regex`.")
    ] = ""
    sieve_spamtest_status_type: Annotated[
        StatusType, Doc("A number, as many characters as points, or words.")
    ] = "score"
    sieve_spamtest_max_value: Annotated[str, Doc("The verdict that means: surely spam.")] = ""
    sieve_spamtest_max_header: Annotated[
        str, Doc("Field with that value, as for the status; instead of it.")
    ] = ""
    sieve_spamtest_text_value: Annotated[
        dict[str, str], Doc("text: words of the scanner for each value from 0 to 10.")
    ] = msgspec.field(default_factory=dict)
    sieve_virustest_status_header: Annotated[str, Doc("The same for the virus scanner.")] = ""
    sieve_virustest_status_type: Annotated[StatusType, Doc("How it is written.")] = "score"
    sieve_virustest_max_value: Annotated[str, Doc("The verdict that means: surely.")] = ""
    sieve_virustest_max_header: Annotated[str, Doc("Field with that value.")] = ""
    sieve_virustest_text_value: Annotated[
        dict[str, str], Doc("text: words of the scanner for each value from 0 to 5.")
    ] = msgspec.field(default_factory=dict)
