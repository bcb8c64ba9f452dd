"""A service of many tenants: who asks is in the bearer token, and nothing in the URL or in `Vary` tells two of them apart."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from .counting import CountingMiddleware, seen
from .data import TENANTS, USERS, Tenant

app = FastAPI(title="Keney clinic")
app.add_middleware(GZipMiddleware)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://app.keney.example", "https://kiosk.keney.example"],
    allow_headers=["Authorization"],
    allow_credentials=True,
)
# The last one is the outermost: it counts what the others answer too.
app.add_middleware(CountingMiddleware)


@dataclass
class Caller:
    tenant: Tenant
    user: str


def caller(authorization: Annotated[str | None, Header()] = None) -> Caller:
    """`Authorization: Bearer <tenant>.<user>`."""
    scheme, _, token = (authorization or "").partition(" ")
    tenant, _, user = token.partition(".")
    if scheme.lower() != "bearer" or user not in USERS.get(tenant, []):
        raise HTTPException(401, "unknown token", {"WWW-Authenticate": "Bearer"})
    return Caller(TENANTS[tenant], user)


Known = Annotated[Caller, Depends(caller)]


class NewPatient(BaseModel):
    name: str
    email: str


class PatientChange(BaseModel):
    name: str | None = None
    email: str | None = None


# --- patients


@app.get("/patients")
async def list_patients(who: Known, skip: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 50):
    patients = list(who.tenant.patients.values())
    return {
        "tenant": who.tenant.name,
        "seen_by": who.user,
        "total": len(patients),
        "skip": skip,
        "limit": limit,
        "items": patients[skip : skip + limit],
    }


@app.post("/patients", status_code=201)
async def create_patient(who: Known, new: NewPatient):
    number = next(who.tenant.numbers)
    patient = {"id": number, "tenant": who.tenant.name, "name": new.name, "email": new.email, "version": 1}
    who.tenant.patients[number] = patient
    return answer(who, patient, status=201, headers={"Location": f"/patients/{number}"})


@app.get("/patients/{number}")
async def get_patient(who: Known, number: int, if_none_match: Annotated[str | None, Header()] = None):
    full = answer(who, find(who, number))
    if matches(if_none_match, full.headers["etag"]):
        kept = {name: full.headers[name] for name in ("etag", "surrogate-key")}
        return Response(status_code=304, headers=kept)
    return full


@app.put("/patients/{number}")
async def replace_patient(who: Known, number: int, new: NewPatient):
    return answer(who, update(find(who, number), new.model_dump()))


@app.patch("/patients/{number}")
async def change_patient(who: Known, number: int, change: PatientChange):
    return answer(who, update(find(who, number), change.model_dump(exclude_none=True)))


@app.delete("/patients/{number}", status_code=204)
async def delete_patient(who: Known, number: int):
    find(who, number)
    del who.tenant.patients[number]


def find(who: Caller, number: int) -> dict:
    if number not in who.tenant.patients:
        raise HTTPException(404, "no such patient")
    return who.tenant.patients[number]


def update(patient: dict, fields: dict) -> dict:
    patient.update(fields, version=patient["version"] + 1)
    return patient


def answer(who: Caller, patient: dict, status: int = 200, headers: dict | None = None) -> Response:
    """One patient, named for caches by tenant and number."""
    full = JSONResponse({**patient, "seen_by": who.user}, status, headers)
    full.headers["Surrogate-Key"] = f"patient:{who.tenant.name}:{patient['id']}"
    full.headers["ETag"] = f'"{hashlib.sha256(full.body).hexdigest()[:16]}"'
    return full


def matches(if_none_match: str | None, etag: str) -> bool:
    given = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in given or etag in given


# --- who and what


@app.get("/dashboard/stats")
async def stats(who: Known, response: Response):
    # Each tenant has its own numbers, and yet this does not say `private`. Many services are like that.
    response.headers["Cache-Control"] = "max-age=60"
    return {
        "tenant": who.tenant.name,
        "patients": len(who.tenant.patients),
        "changes": sum(patient["version"] - 1 for patient in who.tenant.patients.values()),
        "documents": who.tenant.documents,
    }


@app.get("/whoami")
async def whoami(who: Known):
    return {"tenant": who.tenant.name, "user": who.user}


@app.get("/public/info")
async def info(response: Response):
    response.headers["Cache-Control"] = "public, max-age=60"
    return {"name": "Keney clinic", "open": "08:00-18:00", "phone": "+223 20 00 00 00"}


# --- documents


@app.post("/documents", status_code=201)
async def upload(who: Known, request: Request):
    """Reads the body as it comes and says what it was."""
    size, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        size += len(piece)
        digest.update(piece)
    who.tenant.documents += 1
    return {"bytes": size, "sha256": digest.hexdigest()}


@app.get("/documents/big")
async def download(who: Known, mb: Annotated[int, Query(ge=0, le=1024)] = 8):
    """`mb` mebibytes of a known pattern, without a Content-Length."""
    piece = bytes(range(256)) * 256

    async def pieces():
        for _ in range(mb * 16):
            yield piece

    return StreamingResponse(pieces(), media_type="application/octet-stream")


# --- time and failure


@app.get("/events")
async def events(n: Annotated[int, Query(ge=0, le=10_000)] = 5, gap_ms: Annotated[int, Query(ge=0, le=60_000)] = 200):
    """Server-sent events: the first at once, the others `gap_ms` apart."""

    async def lines():
        for number in range(1, n + 1):
            if number > 1:
                await asyncio.sleep(gap_ms / 1000)
            yield f"id: {number}\ndata: {json.dumps({'event': number, 'of': n})}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.get("/slow")
async def slow(ms: Annotated[int, Query(ge=0, le=60_000)] = 500):
    await asyncio.sleep(ms / 1000)
    return PlainTextResponse(f"slept {ms} ms\n")


@app.get("/boom")
async def boom():
    raise RuntimeError("boom, as asked for")


# --- mirrors for tests


@app.get("/_count")
async def count():
    """Requests by path since the start, without queries and without this path."""
    return JSONResponse(dict(sorted(seen.items())), headers={"Cache-Control": "no-store"})


@app.api_route("/_echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@app.api_route("/_echo/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def echo(request: Request):
    """The request as it arrived here; a header that came more than once is joined by `, `."""
    headers: dict[str, str] = {}
    for name, value in sorted(request.headers.items()):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1")
    target = f"{path}?{query}" if query else path
    return {"method": request.method, "path": request.url.path, "query": query, "target": target, "headers": headers}
