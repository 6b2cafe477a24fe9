"""The four APIs, as strict as the real ones: what those refuse, these refuse, in the same shape.

Here: what each takes and how it answers. Not here: what they share (fake_api.py), assertions.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from cj_pipeline.contracts.enums import Provider
from tests.services.lps.providers.fake_api import (
    KEYS,
    Fake,
    Refused,
    chat_completion,
    check_limit,
    check_messages,
    check_strict_schema,
    check_temperature,
    known_keys,
    require,
)


class FakeOpenAi(Fake):
    """Chat Completions."""

    path = "/v1/chat/completions"
    efforts = {"gpt-5.1": "none low medium high"}  # noqa: RUF012
    context = 16384

    def authenticate(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {KEYS[Provider.OPENAI]}":
            raise Refused(401, "Incorrect API key provided", code="invalid_api_key")

    def check(self, request: Request, body: dict[str, Any]) -> None:
        known_keys(
            "body",
            body,
            "model messages max_tokens max_completion_tokens temperature top_p response_format reasoning_effort"
            " verbosity",
        )
        model = body["model"]
        if not model.startswith(("gpt-5", "gpt-4.1", "gpt-4o")):
            raise Refused(404, "The model does not exist", code="model_not_found")
        check_messages(body["messages"])
        check_temperature(body, 2)
        if model.startswith("gpt-5"):
            for name in ("temperature", "top_p"):
                require(
                    body.get(name, 1) == 1, "Only the default (1) is supported", code="unsupported_value", param=name
                )
            require("max_tokens" not in body, "Use max_completion_tokens instead", code="unsupported_parameter")
            efforts = self.efforts.get(model, "minimal low medium high").split()
            require(body.get("reasoning_effort", "low") in efforts, "reasoning_effort", code="unsupported_value")
            require(body.get("verbosity", "low") in ("low", "medium", "high"), "verbosity", code="unsupported_value")
        else:
            require("reasoning_effort" not in body, "Unrecognized request argument supplied: reasoning_effort")
            require(body.get("verbosity", "medium") == "medium", "verbosity", code="unsupported_value")
        check_limit(body.get("max_completion_tokens", body.get("max_tokens")), 16384)
        response_format = body["response_format"]
        known_keys("response_format", response_format, "type json_schema")
        require(response_format["type"] == "json_schema", "response_format.type")
        known_keys("json_schema", response_format["json_schema"], "name strict schema description")
        require(response_format["json_schema"]["strict"] is True, "response_format: not strict")
        check_strict_schema(response_format["json_schema"]["schema"])

    def success(self, body: dict[str, Any]) -> dict[str, Any]:
        usage = {
            "prompt_tokens": 1200,
            "completion_tokens": 300,
            "total_tokens": 1500,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 256},
        }
        return chat_completion(self, body, usage)

    def error_body(self, refused: Refused) -> dict[str, Any]:
        kind = {429: "requests", 401: "invalid_request_error"}.get(
            refused.status, "server_error" if refused.status >= 500 else "invalid_request_error"
        )
        error = {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}
        return {"error": error}


class FakeOpenRouter(Fake):
    """OpenRouter's chat completions."""

    path = "/api/v1/chat/completions"

    def authenticate(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {KEYS[Provider.OPENROUTER]}":
            raise Refused(401, "No auth credentials found")

    def check(self, request: Request, body: dict[str, Any]) -> None:
        known_keys("body", body, "model messages max_tokens temperature response_format reasoning")
        require("/" in body["model"], "not a valid model ID")
        check_messages(body["messages"])
        check_temperature(body, 2)
        check_limit(body["max_tokens"], 64000)
        require(body["response_format"] == {"type": "json_object"}, "response_format")
        require("JSON" in " ".join(m["content"] for m in body["messages"]), "messages must contain the word 'json'")
        if "reasoning" in body:
            known_keys("reasoning", body["reasoning"], "effort max_tokens exclude enabled")
            require(body["reasoning"]["effort"] in ("low", "medium", "high"), "reasoning.effort")
            require(body["max_tokens"] > 1024, "max_tokens must be greater than the reasoning budget")
            require(body.get("temperature", 1) == 1, "temperature may only be set to 1 when thinking is enabled")

    def success(self, body: dict[str, Any]) -> dict[str, Any]:
        usage = {
            "prompt_tokens": 2000,
            "completion_tokens": 100,
            "total_tokens": 2100,
            "prompt_tokens_details": {"cached_tokens": 500, "cache_write_tokens": 300},
        }
        return {"provider": "Anthropic", **chat_completion(self, body, usage)}

    def error_body(self, refused: Refused) -> dict[str, Any]:
        return {
            "error": {
                "code": refused.status,
                "message": refused.message,
                "metadata": {"provider_name": "Anthropic", "raw": refused.message},
            },
            "user_id": "user_1",
        }


class FakeGoogle(Fake):
    """generateContent."""

    path = "/v1beta/models/{model_and_verb:path}"

    def authenticate(self, request: Request) -> None:
        require("key" not in request.query_params, "the key travels in the URL, which is logged")
        if request.headers.get("x-goog-api-key") != KEYS[Provider.GOOGLE]:
            raise Refused(403, "Method doesn't allow unregistered callers", code="PERMISSION_DENIED")

    def check(self, request: Request, body: dict[str, Any]) -> None:
        model, _, verb = request.path_params["model_and_verb"].partition(":")
        if not model.startswith("gemini-") or verb != "generateContent":
            raise Refused(404, f"models/{model} is not found", code="NOT_FOUND")
        known_keys("body", body, "contents systemInstruction generationConfig safetySettings")
        for content in (*body["contents"], body.get("systemInstruction", {"parts": [{"text": ""}]})):
            known_keys("contents", content, "role parts")
            for part in content["parts"]:
                known_keys("parts", part, "text")
        config = body["generationConfig"]
        known_keys(
            "generationConfig",
            config,
            "temperature topP maxOutputTokens responseMimeType responseSchema thinkingConfig",
        )
        check_temperature(config, 2)
        check_limit(config["maxOutputTokens"], 8192)
        require(config["responseMimeType"] == "application/json", "responseSchema needs responseMimeType")
        self._check_schema(config["responseSchema"])
        if "thinkingConfig" in config:
            known_keys("thinkingConfig", config["thinkingConfig"], "thinkingBudget includeThoughts")
            require(0 <= config["thinkingConfig"]["thinkingBudget"] <= 24576, "thinkingBudget is out of range")

    def _check_schema(self, schema: dict[str, Any]) -> None:
        known_keys("responseSchema", schema, "type properties required propertyOrdering enum description")
        require(schema["type"] in ("OBJECT", "STRING", "NUMBER", "INTEGER"), "responseSchema.type")
        for part in schema.get("properties", {}).values():
            self._check_schema(part)

    def success(self, body: dict[str, Any]) -> dict[str, Any]:
        parts = [{"text": "thinking aloud", "thought": True}, {"text": self.text()}]
        return {
            "candidates": [
                {"content": {"parts": parts, "role": "model"}, "finishReason": self.stop_reason or "STOP", "index": 0}
            ],
            "usageMetadata": self.usage
            or {
                "promptTokenCount": 1100,
                "candidatesTokenCount": 40,
                "thoughtsTokenCount": 160,
                "totalTokenCount": 1300,
            },
            "modelVersion": "gemini-2.5-flash-preview-05-20",
        }

    def error_body(self, refused: Refused) -> dict[str, Any]:
        statuses = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
        status = refused.code or statuses.get(refused.status, "INVALID_ARGUMENT")
        return {"error": {"code": refused.status, "message": refused.message, "status": status}}


class FakeAnthropic(Fake):
    """Messages."""

    path = "/v1/messages"

    def authenticate(self, request: Request) -> None:
        if request.headers.get("x-api-key") != KEYS[Provider.ANTHROPIC]:
            raise Refused(401, "invalid x-api-key")
        require(request.headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")

    def check(self, request: Request, body: dict[str, Any]) -> None:
        known_keys("body", body, "model max_tokens messages system tools tool_choice temperature thinking metadata")
        if not body["model"].startswith("claude-"):
            raise Refused(404, f"model: {body['model']}")
        check_limit(body["max_tokens"], 64000)
        check_temperature(body, 1)
        known_keys("metadata", body.get("metadata", {}), "user_id")
        known_keys("tool_choice", body["tool_choice"], "type name disable_parallel_tool_use")
        parts = [*body["tools"], *body.get("system", [])]
        for message in body["messages"]:
            known_keys("messages", message, "role content")
            parts += message["content"]
        for tool in body["tools"]:
            known_keys("tools", tool, "name description input_schema cache_control")
        for part in parts[len(body["tools"]) :]:
            known_keys("content", part, "type text cache_control")
            require(part["type"] == "text" and part["text"], "text content blocks must be non-empty")
        self._check_marks([part["cache_control"] for part in parts if "cache_control" in part])
        if "thinking" in body:
            self._check_thinking(body)

    def _check_marks(self, marks: list[dict[str, Any]]) -> None:
        require(len(marks) <= 4, f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
        for mark in marks:
            known_keys("cache_control", mark, "type ttl")
            require(mark["type"] == "ephemeral" and mark.get("ttl", "5m") in ("5m", "1h"), "cache_control")
        ttls = [mark.get("ttl", "5m") for mark in marks]
        require(
            ttls == sorted(ttls),  # "1h" sorts before "5m"
            "a ttl='1h' cache_control block must not come after a ttl='5m' one",
        )

    def _check_thinking(self, body: dict[str, Any]) -> None:
        known_keys("thinking", body["thinking"], "type budget_tokens")
        require(body["thinking"]["type"] == "enabled", "thinking.type")
        require(body["thinking"]["budget_tokens"] >= 1024, "thinking.budget_tokens: at least 1024")
        require(body["thinking"]["budget_tokens"] < body["max_tokens"], "max_tokens must be greater than budget_tokens")
        require(body.get("temperature", 1) == 1, "temperature may only be set to 1 when thinking is enabled")
        forced = body["tool_choice"]["type"] in ("any", "tool")
        require(not forced, "Thinking may not be enabled when tool_choice forces tool use.")

    def success(self, body: dict[str, Any]) -> dict[str, Any]:
        thoughts = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}] if "thinking" in body else []
        if isinstance(self.verdict, str):
            answer: dict[str, Any] = {"type": "text", "text": self.verdict}
        else:
            answer = {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": self.verdict}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [*thoughts, answer],
            "stop_reason": self.stop_reason or "tool_use",
            "stop_sequence": None,
            "usage": self.usage
            or {
                "input_tokens": 900,
                "output_tokens": 60,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 400,
                "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100},
            },
        }

    def error_body(self, refused: Refused) -> dict[str, Any]:
        kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(refused.status, "api_error" if refused.status >= 500 else "invalid_request_error")
        kind = "overloaded_error" if refused.status == 529 else kind
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_1"}


FAKES: dict[Provider, type[Fake]] = {
    Provider.OPENAI: FakeOpenAi,
    Provider.ANTHROPIC: FakeAnthropic,
    Provider.GOOGLE: FakeGoogle,
    Provider.OPENROUTER: FakeOpenRouter,
}
