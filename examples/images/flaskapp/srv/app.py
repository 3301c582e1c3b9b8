"""Answers with its own environment: which version of a pod a request has reached."""
import os
import socket

from flask import Flask, abort

app = Flask(__name__)


@app.route("/env/<name>")
def env(name):
    if name not in os.environ:
        abort(404)
    return os.environ[name] + "\n"


@app.route("/")
def root():
    return "flaskapp on " + socket.gethostname() + "\n"
