"""`GET /openapi.json`: the resources as an OpenAPI 3.1 document, made from the schemas that read requests.

Authentication: none, it is documentation. Only what this process serves stands in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response, current_app
from marshmallow import Schema, fields, validate

from broker.api.openapi_examples import EXAMPLES
from broker.api.openapi_operation import EVERYWHERE, Operation
from broker.api.openapi_operations import OPERATIONS
from broker.api.openapi_schemas import ProblemSchema
from broker.api.openapi_words import MEMBERS, PARAMETERS, SCHEMES, SCOPE_WORDS
from broker.api.problems import MEDIA_TYPE, PROBLEMS, Reply, plain_problem, problem_reply
from broker.api.public_documents import PublicDocument
from broker.evidence.usage import LIMIT_MAX, OFFSET_MAX
from broker.oauth.endpoints import TOKEN_PATH, Addresses

OPENAPI_PATH: Final = "/openapi.json"
OPENAPI_SECONDS: Final = 300
Row = dict[str, Any]

_ONE_NUMBER: Final = [{"required": ["card_number"]}, {"required": ["personal_id"]}]
"""What marshmallow's declarations of single members cannot say of a card."""
_THE_END: Final = r"\Z"
_PATH_VARIABLE: Final = re.compile(r"<([a-z_]+)>")
_PERSON: Final[Row] = {"pattern": "^(VN)?[0-9]{12}$"}
_SHAPES: Final[Mapping[str, Row]] = {
    "userCode": _PERSON,
    "X-Road-UserId": _PERSON,
    "offset": {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0},
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_MAX},
}
_NEEDED: Final = frozenset({"userCode", "X-Road-UserId"})
"""Parameters that must be given, though they are no part of the path."""
_JWT: Final = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
_HEADERS: Final[Mapping[str, Row]] = {
    "X-Request-Id": {"type": "string", "format": "uuid"},
    "WWW-Authenticate": {"type": "string", "pattern": "^DPoP "},
    "DPoP-Nonce": {"type": "string"},
    "Retry-After": {"type": "integer", "minimum": 0},
    "Location": {"type": "string"},
    "ETag": {"type": "string"},
    "Accept-Ranges": {"type": "string", "const": "bytes"},
    "Content-Range": {"type": "string", "pattern": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$"},
    "Content-Digest": {"type": "string"},
    "Repr-Digest": {"type": "string"},
    "Evidence-Reference": {"type": "string", "format": "uuid"},
}

_RETRIED: Final[Mapping[str, tuple[str, ...]]] = {"readConsentedRecord": ("release-refused",)}
"""Operation → refusals that say in some cases when to come back: here frequency_exceeded, per period."""


def openapi_blueprint(addresses: Addresses) -> Blueprint:
    """Return the route of the document. It is made when it is first asked for, from the routes served."""
    blueprint = Blueprint("openapi", __name__)
    made: list[PublicDocument] = []

    @blueprint.get(OPENAPI_PATH)
    def document() -> Response:
        """Describe the resources of this broker. Public."""
        if not made:
            rules = current_app.url_map.iter_rules()
            served = {(method, rule.rule) for rule in rules for method in rule.methods or ()}
            made.append(PublicDocument.of(openapi_document(addresses, served), OPENAPI_SECONDS))
        return made[0].answer()

    return blueprint


def openapi_document(addresses: Addresses, served: Collection[tuple[str, str]]) -> Row:
    """Return the document (OpenAPI 3.1). served: (method, rule) of the URL map; others are left out."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="Cổng chia sẻ dữ liệu bảo hiểm xã hội / Social-insurance data-sharing broker",
        version=version("insurance-data-broker"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={
            "description": "Các ví dụ đều là dữ liệu giả. / All examples are made up.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": url} for url in (addresses.issuer, addresses.mtls_url) if url],
    )
    # There from the moment at which APISpec took the plugin, which its type does not say.
    plugin.converter.add_attribute_function(_exactly)  # type: ignore[union-attr]
    for name, scheme in _schemes(addresses).items():
        spec.components.security_scheme(name, {**scheme, "description": str(SCHEMES[name])})
    for slug in EVERYWHERE:
        spec.components.response(slug, _problem([slug], addresses.issuer))
    for one in OPERATIONS:
        if (one.method, one.rule) in served:
            spec.path(one.path, operations={one.method.lower(): _described(one, addresses)})
    document: Row = json.loads(json.dumps(spec.to_dict()))
    for schema in document["components"]["schemas"].values():
        if "card_number" in schema["properties"]:
            schema["oneOf"] = _ONE_NUMBER
    return document


def _schemes(addresses: Addresses) -> Mapping[str, Row]:
    """Return the ways to show a token; those by certificate only where there is a host for them."""
    scopes = {scope: str(words) for scope, words in SCOPE_WORDS.items()}
    flow = {"tokenUrl": addresses.issuer + TOKEN_PATH, "scopes": scopes}
    by_key: Mapping[str, Row] = {
        "oauth": {"type": "oauth2", "flows": {"clientCredentials": flow}},
        "dpop": {"type": "http", "scheme": "dpop", "bearerFormat": "at+jwt"},
        "proof": {"type": "apiKey", "in": "header", "name": "DPoP"},
    }
    by_certificate: Mapping[str, Row] = {
        "certificate_token": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt"},
        "certificate": {"type": "mutualTLS"},
    }
    return {**by_key, **by_certificate} if addresses.mtls_url else by_key


def _described(one: Operation, addresses: Addresses) -> Row:
    """Return one operation object."""
    scopes = [one.scope] if one.scope else []
    security: list[Row] = [{"oauth": scopes, "dpop": [], "proof": []}]
    if addresses.mtls_url:
        security.append({"oauth": scopes, "certificate_token": [], "certificate": []})
    described: Row = {
        "operationId": one.name,
        "summary": str(one.words),
        "security": security,
        "parameters": [
            *(_parameter(name, "path") for name in _PATH_VARIABLE.findall(one.rule)),
            *(_parameter(name, "query") for name in one.query),
            *(_parameter(name, "header") for name in (*one.headers, "X-Request-Id", "Accept-Language")),
        ],
        "responses": {**_successes(one), **_refusals(one, addresses.issuer)},
    }
    if one.asks is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": one.asks}}}
    return described


def _parameter(name: str, place: str) -> Row:
    words = PARAMETERS[name]
    schema: Row = {"type": "string"}
    if place == "path":
        schema |= {"minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"}
    schema |= _SHAPES.get(name, {})
    row: Row = {"name": name, "in": place, "description": str(words), "schema": schema}
    needed = {"required": True} if place == "path" or name in _NEEDED else {}
    return row | needed | ({} if place == "path" else {"example": words.example})


def _successes(one: Operation) -> Row:
    """Return a response for each status of success."""
    if not one.media:
        return {str(one.status): _success(one)}
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in one.media}
    names = ["X-Request-Id", "ETag"]
    file = [*names, "Accept-Ranges", "Content-Digest", "Evidence-Reference", "Repr-Digest"]
    told = str(one.words)
    return {
        "200": {"description": told, "headers": _headers(file), "content": content},
        "206": {"description": told, "headers": _headers([*file, "Content-Range"]), "content": content},
        "304": {"description": told, "headers": _headers(names)},
    }


def _success(one: Operation) -> Row:
    names = ["X-Request-Id", *(["Location"] if one.status in (201, 202) and _can_be_read(one) else [])]
    maybe = _headers(["Retry-After"] if one.waits else [], always=False)
    row: Row = {"description": str(one.words), "headers": _headers(names) | maybe}
    if one.tells is not None:
        row["content"] = {"application/json": {"schema": one.tells}}
        if one.receipt:
            row["content"]["application/jwt"] = {"schema": _JWT}
        if one.plain:
            row["content"]["text/plain"] = {"schema": {"type": "string"}}
    return row


def _can_be_read(one: Operation) -> bool:
    """Return whether what an operation makes has an address of its own."""
    return any(other.method == "GET" and other.rule.startswith(f"{one.rule}/<") for other in OPERATIONS)


def _refusals(one: Operation, issuer: str) -> Row:
    """Return a response for every status of the error table that the operation may answer with."""
    by_status: dict[int, list[str]] = {}
    for slug in one.problems:
        by_status.setdefault(PROBLEMS[slug].status, []).append(slug)
    return {
        str(status): _problem(by_status[status], issuer, _RETRIED.get(one.name, ()))
        for status in sorted(by_status)
    }


def _problem(slugs: Sequence[str], issuer: str, retried: Sequence[str] = ()) -> Row:
    """Return the response for rows of one status, each with the answer that it really gives.

    retried: slugs whose answers may say when to come back, though the example does not.
    """
    replies = {slug: _reply(slug, issuer) for slug in slugs}
    told = [{name for name, _ in reply.headers} & _HEADERS.keys() for reply in replies.values()]
    always, ever = set.intersection(*told), set.union(*told)
    if "proof-invalid" in slugs:
        ever.add("DPoP-Nonce")  # where this broker asks for nonces (RFC 9449, 9)
    if set(retried) & set(slugs):
        ever.add("Retry-After")
    rows = [PROBLEMS[slug] for slug in slugs]
    return {
        "description": "; ".join(f"{row.title_vi} / {row.title_en}" for row in rows),
        "headers": _headers(["X-Request-Id", *sorted(always)])
        | _headers(sorted(ever - always), always=False),
        "content": {
            MEDIA_TYPE: {
                "schema": ProblemSchema,
                "examples": {slug: {"value": json.loads(reply.body)} for slug, reply in replies.items()},
            }
        },
    }


def _reply(slug: str, issuer: str) -> Reply:
    request_id = str(PARAMETERS["X-Request-Id"].example)
    if slug not in EXAMPLES:
        return plain_problem(slug, issuer=issuer, request_id=request_id, vietnamese=False)
    members = {"gateway_code": "101", "receipt": "eyJ….….…"} if slug == "source-outage" else None
    return problem_reply(
        EXAMPLES[slug], issuer=issuer, request_id=request_id, vietnamese=False, members=members
    )


def _headers(names: Sequence[str], *, always: bool = True) -> Row:
    return {name: {"required": always, "schema": _HEADERS[name]} for name in names}


def _exactly(_converter: object, field: fields.Field[Any], **_: Any) -> Row:
    """Return what apispec does not: words, and patterns that mean the same to JSON Schema.

    marshmallow looks for a pattern at the beginning, and these end with the sign for the very end; JSON
    Schema looks anywhere, and knows $ for the very end (ECMA-262).
    """
    row: Row = {}
    for validator in field.validators:
        if isinstance(validator, validate.Regexp):
            pattern = str(validator.regex.pattern).removeprefix("^").removesuffix(_THE_END)
            row["pattern"] = f"^(?:{pattern})$"
    words = MEMBERS.get(f"{type(field.parent).__name__}.{field.name}", MEMBERS.get(field.name or ""))
    if words is not None and type(field.parent).__name__ in _REQUESTS:
        row["description"] = str(words)
        if words.example is not None:
            row["examples"] = [words.example]
    return row


def _names(schema: Schema) -> Iterator[str]:
    """Yield the class names of a schema and of those nested in it."""
    yield type(schema).__name__
    for field in schema.fields.values():
        for inner in (field, getattr(field, "inner", None), getattr(field, "value_field", None)):
            if isinstance(inner, fields.Nested):
                yield from _names(inner.schema)


_REQUESTS: Final = frozenset(name for one in OPERATIONS if one.asks for name in _names(one.asks()))
"""The schemas of what is sent: their members have words and examples."""
