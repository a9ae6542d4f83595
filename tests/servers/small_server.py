"""The smallest thing that can stand in for jupyterhub-singleuser: says who it is at every path; starts in 30 ms.

Run it with `python -I -S small_server.py JOURNAL`. Every start is a line in the journal: pid, server, start. Ends at
SIGINT and SIGTERM as they come.
"""

import os
import socket
import sys


def main() -> None:
    host, port = os.environ["JUPYTERHUB_SERVICE_URL"].split("/")[2].rsplit(":", 1)
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    start = os.environ["JUPYTERHUB_API_TOKEN"][:16]  # differs from start to start, and is the same when one is repeated
    journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{os.getpid()} {prefix} {start}\n".encode())
    body = f"{os.getpid()} {prefix}".encode()
    answer = b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(50)
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(5)
            if connection.recv(65_536):
                connection.sendall(answer)
        except OSError:
            pass
        finally:
            connection.close()


main()
