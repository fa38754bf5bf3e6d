"""A response, whatever carried it."""

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Response:
    status: int
    reason: str = ""
    # Names in lower case.
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    def json(self):
        return json.loads(self.body)

    def must_be(self, status):
        """Gives the response back if it has the status, and fails showing what it says otherwise."""
        assert self.status == status, f"expected {status}, got {self.status}: {self.body[:500]!r}"
        return self

    def must_refuse(self, status, code, *, field=None, says=None):
        """Checks a refusal: the status, the shape of the error document, and what it names."""
        self.must_be(status)
        assert self.headers["content-type"] == "application/json"
        error = self.json()
        assert error["code"] == code, error
        assert isinstance(error["message"], str) and error["message"], error
        assert set(error) <= {"code", "message", "limit", "value", "retry_after_ms", "field"}, error
        if field is not None:
            assert error.get("field") == field, error
        if says is not None:
            assert says in error["message"], error
        return error
