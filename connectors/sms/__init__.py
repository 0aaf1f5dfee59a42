"""SMS through Twilio, with the Indian operators' template rules (DLT) checked before anything is sent.

Used: `POST /2010-04-01/Accounts/{sid}/Messages.json`, `GET …/Messages/{sid}.json`, `GET …/Accounts/{sid}.json`, and
status callbacks. Messages have no idempotency key, and we ask Twilio to discard texts and obscure numbers, so a lost
message cannot be searched for either: the callback URL carries our notification id, and a callback with it proves
that the message exists.

Source: twilio/twilio-oai twilio_api_v2010, twilio.com/docs/messaging, read 2026-11-22.
"""

from connectors.sms.connector import SmsConnector
from connectors.sms.settings import DltTemplate, SmsSettings

__all__ = ["DltTemplate", "SmsConnector", "SmsSettings"]
