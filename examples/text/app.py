"""Writes text as OpenAI's API has it: an ordinary FastAPI server around a model of word pairs.

It knows nothing of Tidegate. The model is trained when the process starts, on the licence of this
repository, in some milliseconds: there is nothing to download. What it writes sounds like a licence.
"""

import asyncio
import json
import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

TEXT = Path(__file__).resolve().parents[2] / "LICENSE"
# A word at a time, as a language model would.
SECONDS_PER_WORD = float(os.environ.get("SECONDS_PER_WORD", "0.02"))


def train(words):
    """Which words follow each pair of words."""
    follows = defaultdict(list)
    for first, second, third in zip(words, words[1:], words[2:]):
        follows[first, second].append(third)
    return dict(follows)


WORDS = TEXT.read_text(encoding="utf-8").split()
FOLLOWS = train(WORDS)
PAIRS = sorted(FOLLOWS)


class Message(BaseModel):
    role: str
    content: str


class StreamOptions(BaseModel):
    include_usage: bool = False


class Request(BaseModel):
    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1, le=1000)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=1000)] = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()


def write(prompt, count):
    """The words of an answer. The same prompt gets the same answer."""
    draw = random.Random(prompt)
    pair = draw.choice(PAIRS)
    for _ in range(count):
        yield pair[0]
        following = FOLLOWS.get(pair)
        pair = (pair[1], draw.choice(following)) if following else draw.choice(PAIRS)


app = FastAPI(title="text")


@app.post("/v1/chat/completions")
async def chat(request: Request):
    prompt = "\n".join(message.content for message in request.messages)
    if not prompt.strip():
        raise HTTPException(400, "the messages have no text")
    words = list(write(prompt, request.max_completion_tokens or request.max_tokens or 32))
    prompt_tokens = len(prompt.split())
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(words),
        "total_tokens": prompt_tokens + len(words),
    }
    head = {
        "id": f"chatcmpl-{random.getrandbits(64):016x}",
        "created": int(time.time()),
        "model": request.model,
    }
    if request.stream:
        with_usage = usage if request.stream_options.include_usage else None
        return StreamingResponse(stream(head, words, with_usage), media_type="text/event-stream")
    await asyncio.sleep(SECONDS_PER_WORD * len(words))
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


async def stream(head, words, usage):
    head = {**head, "object": "chat.completion.chunk"}

    def event(delta, finish_reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

    yield event({"role": "assistant", "content": ""})
    for number, word in enumerate(words):
        await asyncio.sleep(SECONDS_PER_WORD)
        yield event({"content": word if number == 0 else f" {word}"})
    yield event({}, "length")
    if usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}
