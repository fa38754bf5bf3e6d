"""Our definitions of the wire contract are those of the official SDK: nothing missing, nothing else."""

import importlib
import re

import pytest
from google.protobuf import descriptor_pb2

from support import wire

FILES = ["common", "permissionmessages", "auth", "token", "cachepubsub", "controlclient", "cacheclient"]

# What the SDK's package does not carry, from the written contract: rpcs by service.
OTHERS = {
    "cache_client.Ping": ["Ping"],
    "leaderboard.Leaderboard": [
        "DeleteLeaderboard",
        "UpsertElements",
        "RemoveElements",
        "GetLeaderboardLength",
        "GetByRank",
        "GetRank",
        "GetByScore",
        "GetCompetitionRank",
    ],
    "webhook.Webhook": [
        "PutWebhook",
        "DeleteWebhook",
        "ListWebhooks",
        "GetWebhookSecret",
        "RotateWebhookSecret",
    ],
    "grpc.health.v1.Health": ["Check", "Watch"],
    "grpc.reflection.v1.ServerReflection": ["ServerReflectionInfo"],
}


def message_shapes(descriptor, prefix):
    """What matters on the wire of a message and of all within it, by name."""
    name = f"{prefix}{descriptor.name}"
    oneofs = [oneof.name for oneof in descriptor.oneof_decl]
    shapes = {
        name: sorted(
            (
                field.number,
                field.name,
                field.type,
                field.label,
                field.type_name,
                oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
                field.proto3_optional,
            )
            for field in descriptor.field
        )
    }
    for nested in descriptor.nested_type:
        shapes |= message_shapes(nested, f"{name}.")
    for enumeration in descriptor.enum_type:
        shapes[f"{name}.{enumeration.name}"] = [(value.name, value.number) for value in enumeration.value]
    return shapes


def shapes(file):
    found = {"package": file.package, "syntax": file.syntax}
    for descriptor in file.message_type:
        found |= message_shapes(descriptor, "")
    for enumeration in file.enum_type:
        found[enumeration.name] = [(value.name, value.number) for value in enumeration.value]
    for service in file.service:
        for method in service.method:
            found[f"{service.name}/{method.name}"] = (
                method.input_type,
                method.output_type,
                method.client_streaming,
                method.server_streaming,
            )
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_definitions_are_those_of_the_sdk(name):
    theirs = descriptor_pb2.FileDescriptorProto()
    importlib.import_module(f"momento_wire_types.generated.{name}_pb2").DESCRIPTOR.CopyToProto(theirs)
    (ours,) = [file for file in wire.descriptor_set().file if file.name == f"{name}.proto"]
    expected, found = shapes(theirs), shapes(ours)
    assert len(expected) > 2
    differences = {
        key: (expected.get(key), found.get(key))
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    }
    assert differences == {}


@pytest.mark.parametrize("service", OTHERS)
def test_services_that_the_sdk_does_not_carry_have_the_rpcs_of_the_contract(service):
    assert [method.name for method in wire.pool().FindServiceByName(service).methods] == OTHERS[service]


# Message, field: number and type, as the written contract has them where a slip would go unnoticed.
FIELDS = {
    ("leaderboard._Element", "score"): (3, "double"),
    ("leaderboard._RankedElement", "rank"): (3, "uint32"),
    ("leaderboard._RankedElement", "score"): (4, "double"),
    ("leaderboard._ScoreRange", "min_inclusive"): (5, "double"),
    ("leaderboard._ScoreRange", "max_exclusive"): (6, "double"),
    ("leaderboard._UpsertElementsRequest", "leaderboard"): (2, "string"),
    ("leaderboard._GetByScoreRequest", "limit_elements"): (5, "uint32"),
    ("leaderboard._GetCompetitionRankRequest", "leaderboard"): (1, "string"),
    ("leaderboard._GetCompetitionRankRequest", "order"): (3, "enum"),
    ("webhook._WebhookDestination", "post_url"): (1, "string"),
    ("webhook._Webhook", "destination"): (3, "message"),
    ("webhook._GetWebhookSecretResponse", "secret_string"): (3, "string"),
    ("webhook._RotateWebhookSecretResponse", "secret_string"): (1, "string"),
}


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_fields_that_the_sdk_does_not_carry_have_the_numbers_of_the_contract(place):
    field = wire.message(place[0]).DESCRIPTOR.fields_by_name[place[1]]
    names = {value: name[5:].lower() for name, value in vars(type(field)).items() if name.startswith("TYPE_")}
    assert (field.number, names[field.type]) == FIELDS[place]


def test_the_generated_swift_is_of_these_definitions():
    """Every message of the contract stands in the committed Swift, under the name that its file chose."""
    sources = {path.name: path.read_text() for path in (wire.REPOSITORY / "Sources" / "Wire").glob("*.pb.swift")}
    for file in wire.descriptor_set().file:
        source = sources.pop(file.name.replace(".proto", ".pb.swift"))
        for descriptor in file.message_type:
            assert re.search(rf'protoMessageName: String = .*"\.?{re.escape(descriptor.name)}"', source) or (
                f'"{file.package}.{descriptor.name}"' in source
            ), f"{file.name}: {descriptor.name}"
    assert sources == {}, "generated from no definition"
