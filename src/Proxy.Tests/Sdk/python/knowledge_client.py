"""OpenAI's own client for Python: files, vector stores and their search, in the proxy itself.

Usage: knowledge_client.py BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure."""
import asyncio
import io
import sys
import traceback

import openai

BASE = sys.argv[1] + "/v1"
client = openai.OpenAI(base_url=BASE, api_key="sk-unused", max_retries=0, timeout=60)
made = {}


def text(name, body):
    return (name, io.BytesIO(body.encode()))


def create():
    store = client.vector_stores.create(name="cheese", metadata={"topic": "cheese"})
    assert store.status == "completed" and store.file_counts.total == 0
    made["store"] = store.id


def upload_and_poll():
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=made["store"], file=text("cheddar.md", "# Cheddar\n\nCheddar comes from Somerset."),
        attributes={"country": "England", "age": 12})
    assert file.status == "completed", file
    assert file.attributes == {"country": "England", "age": 12}
    made["file"] = file.id


def batch_upload_and_poll():
    batch = client.vector_stores.file_batches.upload_and_poll(
        vector_store_id=made["store"], files=[text("brie.txt", "Brie is soft and white."), text("gouda.txt", "Gouda is a Dutch cheese.")])
    assert batch.status == "completed", batch
    assert batch.file_counts.completed == 2


def pages():
    files = list(client.vector_stores.files.list(made["store"], limit=1, filter="completed"))
    assert len({file.id for file in files}) == 3
    assert {file.filename for file in client.files.list(limit=2)} == {"cheddar.md", "brie.txt", "gouda.txt"}


def search():
    found = client.vector_stores.search(made["store"], query="Which cheese comes from Somerset?", max_num_results=2)
    assert found.data[0].filename == "cheddar.md"
    assert "Somerset" in found.data[0].content[0].text
    filtered = client.vector_stores.search(made["store"], query="cheese", filters={"type": "gt", "key": "age", "value": 3})
    assert [hit.file_id for hit in filtered.data] == [made["file"]]


def content():
    assert client.files.content(made["file"]).text.startswith("# Cheddar")
    assert any("Somerset" in part.text for part in client.vector_stores.files.content(made["file"], vector_store_id=made["store"]))


def file_that_expires():
    file = client.files.create(file=text("old.txt", "old"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at - file.created_at == 3600
    assert client.files.delete(file.id).deleted


def rejected():
    try:
        client.vector_stores.retrieve("vs_none")
        raise AssertionError("it was found")
    except openai.NotFoundError as error:
        assert "vs_none" in error.message


async def asynchronous():
    other = openai.AsyncOpenAI(base_url=BASE, api_key="sk-unused", max_retries=0, timeout=60)
    batch = await other.vector_stores.file_batches.upload_and_poll(vector_store_id=made["store"], files=[text("feta.txt", "Feta is Greek.")])
    assert batch.file_counts.completed == 1
    await other.close()


def delete():
    assert client.vector_stores.files.delete(made["file"], vector_store_id=made["store"]).deleted
    assert client.vector_stores.delete(made["store"]).deleted
    for file in client.files.list():
        assert client.files.delete(file.id).deleted


failed = False
for check in (create, upload_and_poll, batch_upload_and_poll, pages, search, content, file_that_expires, rejected, asynchronous, delete):
    try:
        outcome = check()
        if asyncio.iscoroutine(outcome):
            asyncio.run(outcome)
        print("ok", check.__name__)
    except Exception:
        failed = True
        print("FAILED", check.__name__, traceback.format_exc())
sys.exit(failed)
