"""Asks for texts by Python's `openai` package.

    python3 openai_text.py _ ADDRESS    a line for each thing that was as it should be
"""

import sys

import openai


def say(*words):
    print(*words, flush=True)


client = openai.OpenAI(
    base_url=f"http://{sys.argv[2]}/v1", api_key="none", max_retries=0, timeout=60
)
question = [{"role": "user", "content": "May I? " * 2000}]

assert [model.id for model in client.models.list()] == ["licence-writer-1"]
assert client.models.retrieve("licence-writer").owned_by == "text"
say("LISTED")

whole = client.chat.completions.create(model="licence-writer", messages=question, max_tokens=9)
text = whole.choices[0].message.content
assert len(text.split()) == 9 and whole.usage.completion_tokens == 9, whole
say("WHOLE", text)

chunks = client.chat.completions.create(
    model="licence-writer-1",
    messages=question,
    max_tokens=9,
    stream=True,
    stream_options={"include_usage": True},
)
parts, usage = [], None
for chunk in chunks:
    parts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    usage = chunk.usage or usage
assert "".join(parts) == text and len(parts) == 9, parts
assert usage.completion_tokens == 9, usage
say("STREAMED", len(parts))

try:
    client.chat.completions.create(model="nobody-has-this", messages=question)
except openai.NotFoundError as error:
    assert error.code == "model_not_found" and error.param == "model", error
    say("UNKNOWN", error.code)
