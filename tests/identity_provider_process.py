"""An OpenID provider that nobody here wrote (idpyoidc), as a process of its own on the loopback.

Started as `python -m tests.identity_provider_process FILE`, with a JSON file: issuer, redirect_uris,
client_id, client_secret or jwks, person, number. It prints "ready" and serves until it is ended. What it has
told last lies in token.json beside that file; a file named "fault" there says how it lies (FAULTS).
"""

from __future__ import annotations

import json
import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cryptojwt.jws.jws import JWS  # type: ignore[import-untyped]
from idpyoidc.message.oidc import AuthorizationRequest  # type: ignore[import-untyped]
from idpyoidc.server import Server  # type: ignore[import-untyped]
from idpyoidc.server.configure import OPConfiguration  # type: ignore[import-untyped]
from idpyoidc.server.exception import FailedAuthentication  # type: ignore[import-untyped]
from idpyoidc.server.user_authn.authn_context import (  # type: ignore[import-untyped]
    INTERNETPROTOCOLPASSWORD,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.serving import Silent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PASSWORD = "mật khẩu ở nơi khác"
KEYS = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
ENDPOINTS = {
    "provider_config": (".well-known/openid-configuration", "provider_config.ProviderConfiguration", {}),
    "authorization": (
        "authorization",
        "authorization.Authorization",
        {"response_types_supported": ["code"], "response_modes_supported": ["query"]},
    ),
    "token": (
        "token",
        "token.Token",
        {"client_authn_method": ["client_secret_basic", "private_key_jwt"]},
    ),
    "userinfo": ("userinfo", "userinfo.UserInfo", {"client_authn_method": ["bearer_header"]}),
}
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "nonce": {"nonce": "of-another-sign-in"},
    "issuer": {"iss": "http://localhost:1"},
    "audience": {"aud": ["another-client"]},
    "unsigned": {},
}
"""Name → claims that are wrong in an identity token, which the library's own key signs all the same."""
FORM = """<!DOCTYPE html><title>sign in elsewhere</title><form method="post" action="/verify/user">
<input name="username"><input name="password" type="password">
<input type="hidden" name="token" value="{{ token }}">
<button>go</button></form>"""


def provider(told: dict[str, Any], directory: Path) -> Server:
    """Return the provider with one client and one person."""
    (directory / "templates").mkdir()
    (directory / "templates/user_pass.jinja2").write_text(FORM)
    endpoints = {
        name: {
            "path": path,
            "class": f"idpyoidc.server.oidc.{kind}",
            "kwargs": {"client_authn_method": None, **options},
        }
        for name, (path, kind, options) in ENDPOINTS.items()
    }
    configuration = {
        "issuer": told["issuer"],
        "httpc_params": {"verify": False, "timeout": 4},
        "key_conf": {"key_defs": KEYS, "uri_path": "jwks"},
        "keys": {"key_defs": KEYS, "uri_path": "jwks"},
        "template_dir": str(directory / "templates"),
        "preference": {"subject_types_supported": ["public"]},
        "endpoint": endpoints,
        "add_on": {
            "pkce": {
                "function": "idpyoidc.server.oauth2.add_on.pkce.add_support",
                "kwargs": {"essential": True},
            }
        },
        "claims_interface": {"class": "idpyoidc.server.session.claims.ClaimsInterface", "kwargs": {}},
        "token_handler_args": {
            "key_conf": {"key_defs": [{"type": "oct", "bytes": 24, "use": ["enc"], "kid": "code"}]},
            "code": {"lifetime": 60},
            "token": {"class": "idpyoidc.server.token.jwt_token.JWTToken", "kwargs": {"lifetime": 60}},
            "id_token": {
                "class": "idpyoidc.server.token.id_token.IDToken",
                "kwargs": {"base_claims": {"SoDinhDanh": {"essential": True}}},
            },
        },
        "userinfo": {
            "class": "idpyoidc.server.user_info.UserInfo",
            "kwargs": {"db": {told["person"]: {"SoDinhDanh": told["number"], "citizenId": told["number"]}}},
        },
        "authentication": {
            "user": {
                "acr": INTERNETPROTOCOLPASSWORD,
                "class": "idpyoidc.server.user_authn.user.UserPassJinja2",
                "kwargs": {
                    "verify_endpoint": "verify/user",
                    "template": "user_pass.jinja2",
                    "db": {
                        "class": "idpyoidc.server.util.JSONDictDB",
                        "kwargs": {"filename": str(directory / "passwords.json")},
                    },
                },
            }
        },
        "scopes_to_claims": {"openid": ["sub", "citizenId"]},
        "session_params": {"encrypter": {"kwargs": {"keys": {"key_defs": [
            {"type": "oct", "bytes": 24, "use": ["enc"], "kid": "password"},
            {"type": "oct", "bytes": 24, "use": ["enc"], "kid": "salt"},
        ]}, "iterations": 1}}},
    }  # fmt: skip
    (directory / "passwords.json").write_text(json.dumps({told["person"]: PASSWORD}))
    server = Server(OPConfiguration(configuration, base_path=str(directory)), cwd=str(directory))
    context = server.context
    context.cdb[told["client_id"]] = {
        "client_id": told["client_id"],
        "client_secret": told.get("client_secret", ""),
        "redirect_uris": [(uri, {}) for uri in told["redirect_uris"]],
        "token_endpoint_auth_method": told["method"],
        "response_types": ["code"],
        "id_token_signed_response_alg": "ES256",
        "allowed_scopes": ["openid"],
        "client_salt": "salted",
    }
    if "jwks" in told:
        context.keyjar.import_jwks(told["jwks"], told["client_id"])
    else:
        context.keyjar.add_symmetric(told["client_id"], told["client_secret"])
    return server


class Application:
    """The provider over WSGI."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        return self.answer(request)(environ, start_response)

    def answer(self, request: Request) -> Response:
        context = self.server.context
        if request.path == "/jwks":
            return Response(context.keyjar.export_jwks_as_json(), mimetype="application/json")
        if request.path == "/verify/user":
            return self.verified(request)
        for name, (path, _, _) in ENDPOINTS.items():
            if request.path == f"/{path}":
                return self.endpoint(name, request)
        return Response(status=404)

    def endpoint(self, name: str, request: Request) -> Response:
        endpoint = self.server.get_endpoint(name)
        asked = request.args.to_dict() if request.method == "GET" else request.form.to_dict()
        http_info = {
            "headers": {key.lower(): value for key, value in request.headers.items()},
            "method": request.method,
            "url": request.url,
            "cookie": [],
        }
        parsed = endpoint.parse_request(asked, http_info=http_info)
        if "error" in parsed:
            return Response(parsed.to_json(), 400, mimetype="application/json")
        made = endpoint.process_request(parsed, http_info=http_info)
        if "http_response" in made:
            return Response(made["http_response"], mimetype="text/html")
        return self.said(endpoint, parsed, made)

    def verified(self, request: Request) -> Response:
        method = self.server.context.authn_broker.get_method_by_id("user")
        try:
            name = method.verify(username=request.form["username"], password=request.form["password"])
        except FailedAuthentication:
            return Response("no", 403)
        token = method.unpack_token(request.form["token"])
        asked = AuthorizationRequest().from_urlencoded(token["query"])
        endpoint = self.server.get_endpoint("authorization")
        session_id = endpoint.create_session(asked, name, token["authn_class_ref"], token["iat"], method)
        return self.said(endpoint, asked, endpoint.authz_part2(request=asked, session_id=session_id))

    def said(self, endpoint: Any, asked: Any, made: Any) -> Response:
        if "error" in made:
            return Response(json.dumps(dict(made)), 400, mimetype="application/json")
        answer = endpoint.do_response(request=asked, **made)
        if endpoint.name == "token":
            answer["response"] = self.told(json.loads(answer["response"]))
        if (answer.get("response_placement") or endpoint.response_placement) == "url":
            return Response(status=303, headers={"Location": answer["response"]})
        return Response(answer["response"], mimetype="application/json")

    def told(self, response: dict[str, Any]) -> str:
        """Return the token response, with a lie in it where one is wanted."""
        wanted = self.directory / "fault"
        if wanted.exists():
            fault = wanted.read_text()
            payload = response["id_token"].split(".")[1]
            claims = {**json.loads(urlsafe_b64decode(payload + "==")), **FAULTS[fault]}
            algorithm = "none" if fault == "unsigned" else "ES256"
            keys = self.server.context.keyjar.get_signing_key("ec", "")
            response["id_token"] = JWS(json.dumps(claims), alg=algorithm).sign_compact(keys)
        (self.directory / "token.json").write_text(json.dumps(response))
        return json.dumps(response)


def main() -> None:
    path = Path(sys.argv[1])
    told = json.loads(path.read_text())
    application = Application(provider(told, path.parent), path.parent)
    port = urlsplit(told["issuer"]).port or 0
    with make_server("127.0.0.1", port, application, request_handler=Silent) as serving:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        serving.serve_forever()


if __name__ == "__main__":
    main()
