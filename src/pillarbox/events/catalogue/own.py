"""Own fields that several events give in the same sense: type and meaning, written once.

These are annotations for the parameters of event declarations.  A field that belongs to one event
alone is declared where the event is.
"""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.field import F

Error = Annotated[str | None, F("What went wrong; absent when nothing did.")]
ErrorCode = Annotated[
    str | None, F("Code of the error, as the other side or the library names it.")
]
Reason = Annotated[str | None, F("Why, in words for people.")]
NetInBytes = Annotated[int | None, F("Bytes read from the other side.", unit="bytes")]
NetOutBytes = Annotated[int | None, F("Bytes written to the other side.", unit="bytes")]
StatusCode = Annotated[
    int | None, F("Status code of the reply; 9000 when the work was cut off without one.")
]
EnhancedCode = Annotated[
    str | None, F("Enhanced status code of the reply; `9.0.0` when it was cut off without one.")
]
HttpStatus = Annotated[int | None, F("HTTP status code of the response.")]
HttpMethod = Annotated[str | None, F("HTTP method, in capitals.")]
HttpTarget = Annotated[str | None, F("Path of the request, with its query.")]
Uid = Annotated[int | None, F("IMAP UID of the mail.")]
Seq = Annotated[int | None, F("Sequence number of the mail in the session's view.")]
DataSize = Annotated[
    int | None, F("Size of the message as received, once it has been.", unit="bytes")
]
Driver = Annotated[str | None, F("Name of the driver.")]
MessageId = Annotated[str | None, F("Message-ID of the mail, cut at 200 bytes.")]
