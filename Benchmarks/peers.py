"""The peers, each with the plainest configuration that does the same job, on free loopback ports."""

import json
import os
import socket
import subprocess

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


class WebdisAndRedis:
    """webdis with one worker in front of redis-server without persistence: both on the server's core."""

    def __init__(self, directory, value):
        redis_port, self.port = free_port(), free_port()
        self.redis = Child(
            ["redis-server", "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--daemonize", "no", "--dir", directory],
            SERVER_CORE, log=os.path.join(directory, "redis.log"))
        _await_port(self.redis, redis_port)
        configuration = os.path.join(directory, "webdis.json")
        with open(configuration, "w") as file:
            json.dump(
                {"redis_host": "127.0.0.1", "redis_port": redis_port, "redis_auth": None, "http_host": "127.0.0.1",
                 "http_port": self.port, "threads": 1, "daemonize": False, "database": 0, "acl": [], "verbosity": 0,
                 "logfile": os.path.join(directory, "webdis.log")},
                file)
        self.webdis = Child(["webdis", configuration], SERVER_CORE, log=os.path.join(directory, "webdis.err"))
        _await_port(self.webdis, self.port)
        with socket.create_connection(("127.0.0.1", redis_port), timeout=5) as connection:
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n$%d\r\n%s\r\n" % (len(value), value))
            if not connection.recv(64).startswith(b"+OK"):
                raise BenchmarkError("redis-server did not take the value")

    @property
    def children(self):
        return (self.webdis, self.redis)

    @property
    def url(self):
        # .txt asks for the value itself instead of JSON around it.
        return f"http://127.0.0.1:{self.port}/GET/value.txt"

    def stop(self):
        self.webdis.stop()
        self.redis.stop()


def versions():
    """The first line of what each program calls itself."""
    found = {}
    for name, command in {
        "h2o": ["h2o", "-v"], "h2load": ["h2load", "--version"], "redis-server": ["redis-server", "--version"],
    }.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
            found[name] = (done.stdout or done.stderr).splitlines()[0]
        except (FileNotFoundError, IndexError, subprocess.TimeoutExpired):
            found[name] = "not installed"
    return found
