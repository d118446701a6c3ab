"""Ask a citizen, as a bank does (needs joserfc, urllib3): read_by_consent.py ISSUER KEY.jwk REDIRECT_URI."""

import base64
import hashlib
import json
import secrets
import sys
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import urllib3
from joserfc import jws
from joserfc.jwk import import_key

RULES = jws.JWSRegistry(algorithms=["ES256", "EdDSA", "PS256"], strict_check_header=False)
FORM, JWT = "application/x-www-form-urlencoded", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASKED = [{"type": "insurance_record", "purpose": "prove_income", "fields": ["salary_base", "si_status"]}]


def digest(text: str) -> str:  # of PKCE (S256) and of ath
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Bank:
    def __init__(self, issuer: str, jwk: dict[str, Any]) -> None:
        self.issuer, self.jwk, self.key, self.nonce = issuer, jwk, import_key(jwk), {}
        self.server = self.http("GET", issuer + "/.well-known/oauth-authorization-server")
        self.server["issuer"] == issuer or sys.exit("these are the metadata of another server")

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        full = json.dumps({"iat": int(time.time()), "jti": secrets.token_urlsafe(16), **claims})
        return jws.serialize_compact({"alg": self.jwk["alg"], **header}, full, self.key, registry=RULES)

    def http(self, method: str, url: str, form: str | None = None, token: str = "") -> Any:
        claims, headers = {"htm": method, "htu": url, **self.nonce}, {"Content-Type": FORM}
        if token:
            claims["ath"], headers["Authorization"] = digest(token), f"DPoP {token}"
        headers["DPoP"] = self.sign({"typ": "dpop+jwt", "jwk": self.key.as_dict(private=False)}, claims)
        answer = urllib3.request(method, url, body=form, headers=headers)
        if "use_dpop_nonce" in answer.headers.get("WWW-Authenticate", "") + answer.data.decode():
            self.nonce = {"nonce": answer.headers["DPoP-Nonce"]}
            return self.http(method, url, form, token)
        answer.status < 300 or sys.exit(f"{url}: {answer.status} {answer.data.decode()}")
        return json.loads(answer.data or b"null")

    def post(self, endpoint: str, **form: str) -> Any:
        claims = {"iss": self.jwk["client_id"], "sub": self.jwk["client_id"], "aud": self.issuer}
        assertion = self.sign({"kid": self.jwk["kid"]}, {**claims, "exp": int(time.time()) + 60})
        own = {"client_assertion_type": JWT, "client_assertion": assertion}
        return self.http("POST", self.server[endpoint], urlencode({**form, **own}))

    def ask(self, redirect_uri: str) -> Any:
        verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        pkce = {"code_challenge": digest(verifier), "code_challenge_method": "S256", "response_type": "code"}
        back = {"redirect_uri": redirect_uri, "state": state, "authorization_details": json.dumps(ASKED)}
        pushed = self.post("pushed_authorization_request_endpoint", **pkce, **back)
        query = urlencode({"client_id": self.jwk["client_id"], "request_uri": pushed["request_uri"]})
        came = wait_for_browser(f"{self.server['authorization_endpoint']}?{query}", redirect_uri)
        (came.get("iss"), came.get("state")) == (self.issuer, state) or sys.exit("not an answer to this")
        "code" in came or sys.exit(f"the citizen has not consented: {came['error']}")
        code = {"code": came["code"], "redirect_uri": redirect_uri, "code_verifier": verifier}
        return self.post("token_endpoint", grant_type="authorization_code", **code)


def wait_for_browser(url: str, redirect_uri: str) -> dict[str, str]:
    class Page(BaseHTTPRequestHandler):
        timeout, log_message = 2, lambda *_: None  # the code belongs into no log

        def do_GET(self) -> None:
            came.update(parse_qsl(urlsplit(self.path).query))
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nThank you. You may close this page.")

    came: dict[str, str] = {}
    with HTTPServer(("127.0.0.1", urlsplit(redirect_uri).port or 80), Page) as server:
        webbrowser.open(url) or print("Open in a browser:", url, file=sys.stderr)
        while not came:
            server.handle_request()
    return came


if __name__ == "__main__":
    bank = Bank(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
    tokens = bank.ask(sys.argv[3])
    for path in ("/v1/token-info", "/v1/consented-record"):
        print(json.dumps(bank.http("GET", bank.issuer + path, token=tokens["access_token"])))
    newer = bank.post("token_endpoint", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    print(json.dumps(bank.post("introspection_endpoint", token=newer["access_token"])))
    bank.post("revocation_endpoint", token=tokens["refresh_token"])  # ends all that was consented to
