"""The peers, each with the plainest configuration that does the same job, on free loopback ports."""

import json
import os
import socket
import subprocess

from compiled import compiled_grpc_peer
from process import SERVER_CORE, BenchmarkError, Child, await_condition

_PATIENCE = 20.0


def free_port():
    """A loopback port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def _await_port(child, port):
    def is_ready():
        child.fail_if_ended()
        return accepts(port)

    await_condition(is_ready, within=_PATIENCE, what=f"{child.command[0]} accepting connections")


def _await_answer(connection, end):
    answer = b""
    while not answer.endswith(end):
        data = connection.recv(262_144)
        if not data:
            raise BenchmarkError(f"a connection was closed that was to be held: {answer[-100:]!r}")
        answer += data


def _mqtt_string(text):
    return len(text).to_bytes(2, "big") + text


def _mqtt_packet(kind, body):
    """MQTT 3.1.1 section 2.2: the length stands in digits of seven bits, the lowest first."""
    head, length = bytes([kind]), len(body)
    while True:
        length, digit = length >> 7, length & 0x7F
        head += bytes([digit | (0x80 if length else 0)])
        if not length:
            return head + body


def self_signed_certificate(directory):
    """A P-256 certificate, the kind that Martlet issues to itself. Gives the paths of certificate and key."""
    certificate, key = os.path.join(directory, "peer.pem"), os.path.join(directory, "peer.key")
    if not os.path.exists(certificate):
        try:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2",
                 "-keyout", key, "-out", certificate],
                check=True, capture_output=True, timeout=30)
        except FileNotFoundError:
            raise BenchmarkError("openssl is not installed") from None
    return certificate, key


class H2O:
    """h2o with one thread, serving one static file of `value` as /value.bin, in cleartext and over TLS.

    Timeouts and the connection limit are raised so that idle connections stay; everything else is as it comes.
    """

    def __init__(self, directory, value):
        self.port, self.tls_port = free_port(), free_port()
        files = os.path.join(directory, "files")
        os.makedirs(files, exist_ok=True)
        with open(os.path.join(files, "value.bin"), "wb") as file:
            file.write(value)
        certificate, key = self_signed_certificate(directory)
        configuration = os.path.join(directory, "h2o.yaml")
        with open(configuration, "w") as file:
            # Started by root, h2o would become `nobody`, who cannot read the temporary directory.
            file.write("user: root\n" if os.geteuid() == 0 else "")
            file.write(f"""\
num-threads: 1
max-connections: 20000
http2-idle-timeout: 3600
http1-request-timeout: 3600
listen:
  host: 127.0.0.1
  port: {self.port}
listen:
  host: 127.0.0.1
  port: {self.tls_port}
  ssl:
    certificate-file: {certificate}
    key-file: {key}
    neverbleed: OFF
    ocsp-update-interval: 0
hosts:
  default:
    paths:
      /:
        file.dir: {files}
""")
        self.child = Child(["h2o", "-c", configuration], SERVER_CORE, log=os.path.join(directory, "h2o.log"))
        _await_port(self.child, self.port)

    @property
    def children(self):
        return (self.child,)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/value.bin"

    @property
    def tls_url(self):
        return f"https://127.0.0.1:{self.tls_port}/value.bin"

    def stop(self):
        self.child.stop()


class Redis:
    """redis-server without persistence. As many clients as the other servers take, and subscribers that are slow are
    not cut off; everything else is as it comes."""

    name, protocol = "redis", "redis"

    def __init__(self, directory):
        self.port = free_port()
        self.child = Child(
            ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--daemonize", "no", "--dir", directory, "--protected-mode", "no", "--maxclients", "20000",
             "--client-output-buffer-limit", "pubsub 0 0 0"],
            SERVER_CORE, log=os.path.join(directory, "redis.log"))
        _await_port(self.child, self.port)

    def subscribe(self, connection, topics):
        """Subscribes a new connection, and waits until the server has said so."""
        names = [topic.encode() for topic in topics]
        connection.sendall(b"*%d\r\n$9\r\nSUBSCRIBE\r\n" % (len(names) + 1)
                           + b"".join(b"$%d\r\n%s\r\n" % (len(name), name) for name in names))
        _await_answer(connection, b"$%d\r\n%s\r\n:%d\r\n" % (len(names[-1]), names[-1], len(names)))

    def stop(self):
        self.child.stop()


class Mosquitto:
    """mosquitto without persistence and without limits on its queues, so that nothing is dropped."""

    name, protocol = "mosquitto", "mqtt"

    def __init__(self, directory):
        self.port = free_port()
        configuration = os.path.join(directory, "mosquitto.conf")
        with open(configuration, "w") as file:
            # Started by root, it would become `mosquitto`; nothing here needs that.
            file.write("user root\n" if os.geteuid() == 0 else "")
            file.write(f"""\
listener {self.port} 127.0.0.1
allow_anonymous true
persistence false
sys_interval 0
log_dest none
connection_messages false
set_tcp_nodelay true
max_queued_messages 0
max_queued_bytes 0
""")
        log = os.path.join(directory, "mosquitto.log")
        self.child = Child(["mosquitto", "-c", configuration], SERVER_CORE, log=log)
        _await_port(self.child, self.port)

    def subscribe(self, connection, topics):
        """Connects with MQTT 3.1.1, without a keep-alive, and subscribes at QoS 0."""
        session = b"bench-%d" % connection.fileno()
        connection.sendall(_mqtt_packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + _mqtt_string(session)))
        _await_answer(connection, b"\x20\x02\x00\x00")
        names = b"".join(_mqtt_string(topic.encode()) + b"\x00" for topic in topics)
        connection.sendall(_mqtt_packet(0x82, b"\x00\x01" + names))
        _await_answer(connection, _mqtt_packet(0x90, b"\x00\x01" + bytes(len(topics))))

    def stop(self):
        self.child.stop()


class WebdisAndRedis:
    """webdis with one worker in front of redis-server: both on the server's core."""

    def __init__(self, directory, value):
        self.port, self.redis = free_port(), Redis(directory)
        configuration = os.path.join(directory, "webdis.json")
        with open(configuration, "w") as file:
            json.dump(
                {"redis_host": "127.0.0.1", "redis_port": self.redis.port, "redis_auth": None, "http_host": "127.0.0.1",
                 "http_port": self.port, "threads": 1, "daemonize": False, "database": 0, "acl": [], "verbosity": 0,
                 "logfile": os.path.join(directory, "webdis.log")},
                file)
        self.webdis = Child(["webdis", configuration], SERVER_CORE, log=os.path.join(directory, "webdis.err"))
        _await_port(self.webdis, self.port)
        with socket.create_connection(("127.0.0.1", self.redis.port), timeout=5) as connection:
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n$%d\r\n%s\r\n" % (len(value), value))
            if not connection.recv(64).startswith(b"+OK"):
                raise BenchmarkError("redis-server did not take the value")

    @property
    def children(self):
        return (self.webdis, self.redis.child)

    @property
    def url(self):
        # .txt asks for the value itself instead of JSON around it.
        return f"http://127.0.0.1:{self.port}/GET/value.txt"

    def stop(self):
        self.webdis.stop()
        self.redis.stop()


class GRPCPeer:
    """The gRPC server in C++ (grpc_peer/peer.cpp), which holds the same item and knows the same topics."""

    name = "gRPC C++"

    def __init__(self, directory, *, variables=None):
        self.child = Child(
            [compiled_grpc_peer()], SERVER_CORE, log=os.path.join(directory, "grpc_peer.log"), wants_output=True,
            environment=os.environ | (variables or {}))
        line = self.child.process.stdout.readline()
        if not line:
            self.child.process.wait(_PATIENCE)
            self.child.fail_if_ended()
        said = json.loads(line)
        self.port, self.version = said["port"], said["version"]

    @property
    def children(self):
        return (self.child,)

    @property
    def authority(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self.child.stop()


def versions():
    """The first line of what each program calls itself."""
    found = {}
    for name, command in {
        "h2o": ["h2o", "-v"], "h2load": ["h2load", "--version"], "redis-server": ["redis-server", "--version"],
        "mosquitto": ["mosquitto", "-h"],
    }.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
            found[name] = (done.stdout or done.stderr).splitlines()[0]
        except (FileNotFoundError, IndexError, subprocess.TimeoutExpired):
            found[name] = "not installed"
    return found
