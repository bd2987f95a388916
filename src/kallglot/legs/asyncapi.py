"""The stream's messages as an AsyncAPI 3 document, made from the structs that encode and decode them."""

from __future__ import annotations

from typing import Any

from kallglot.legs import messages


def document(stream_base_url: str, version: str) -> dict[str, Any]:
    described = messages.schemas()
    scheme, _, host = stream_base_url.partition("://")

    def named(refs: list[dict[str, Any]]) -> dict[str, Any]:
        return {ref["$ref"].rsplit("/", 1)[-1]: {"payload": ref} for ref in refs}

    client, server = named(described["client"]), named(described["server"])
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Kallglot stream", "version": version},
        "defaultContentType": "application/json",
        "servers": {"default": {"host": host, "protocol": scheme}},
        "channels": {
            "stream": {
                "address": "/v1/sessions/{session_id}/connect",
                "parameters": {"session_id": {"description": "The session's id."}},
                "messages": {**client, **server},
                "bindings": {
                    "ws": {
                        "query": {
                            "type": "object",
                            "properties": {
                                "token": {"type": "string", "description": "The session's stream token."},
                                "participant": {"type": "string", "description": "Id or role to speak and hear as."},
                                "audio": {"type": "string", "examples": ["mulaw_8000", "pcm_s16le_16000"]},
                                "pace": {"type": "string", "enum": ["realtime", "burst"]},
                            },
                        }
                    }
                },
            }
        },
        "operations": {
            "receiveFromClient": _operation("receive", client),
            "sendToClient": _operation("send", server),
        },
        "components": {"schemas": described["components"]},
    }


def _operation(action: str, named: dict[str, Any]) -> dict[str, Any]:
    refs = [{"$ref": f"#/channels/stream/messages/{name}"} for name in named]
    return {"action": action, "channel": {"$ref": "#/channels/stream"}, "messages": refs}
