"""Conversations, held with Martlet and with a redis-server: what each connection is told must be the same."""

import pytest

from resp_differential.converse import differences
from resp_differential.session import Peer
from resp_differential.transcripts import TRANSCRIPTS, VERSION_3, WAITING


def check(resp, redis_server, protocol, text):
    found = differences(resp.peer(), Peer("peer", *redis_server.address), protocol, text)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_conversation_goes_as_with_redis(resp_clear, redis_server, name, protocol):
    check(resp_clear, redis_server, protocol, TRANSCRIPTS[name])


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", WAITING)
def test_whoever_waits_is_served_as_by_redis(resp_clear, redis_server, name, protocol):
    check(resp_clear, redis_server, protocol, WAITING[name])


@pytest.mark.parametrize("name", VERSION_3)
def test_a_conversation_in_version_3_goes_as_with_redis(resp_clear, redis_server, name):
    check(resp_clear, redis_server, 3, VERSION_3[name])
