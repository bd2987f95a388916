"""Talking to telephone carriers: placing and controlling calls, their webhooks, TwiML and TeXML."""
