"""Publishes a file of events, a JSON object a line, and needs nothing but Python 3.9.

    ZHILI_URL=http://127.0.0.1:7400 ZHILI_TOKEN=... python3 publish.py events.jsonl

Ends with 1 if an event was rejected, after saying which and why.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

# What one request may hold: well below the 1,000 events and 4 MiB that are taken.
BATCH_EVENTS = 500
BATCH_BYTES = 1 << 20
# Until a log that fails over takes events again, and then some.
GIVE_UP_SECONDS = 300
# Longer than the 15 s that the service waits for its log.
TIMEOUT_SECONDS = 30


def batches(lines):
    """Lines as bodies of requests."""
    body, events = b"", 0
    for line in lines:
        line = line.strip()
        if not line:
            continue
        line = line.encode() + b"\n"
        if events == BATCH_EVENTS or (events and len(body) + len(line) > BATCH_BYTES):
            yield body
            body, events = b"", 0
        body, events = body + line, events + 1
    if events:
        yield body


def ask(url, token, body):
    """Status, headers and text of the answer; status 0 when there was none."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    request = urllib.request.Request(f"{url}/v1/events", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
    except OSError as error:
        return 0, {}, str(error).encode()


def send(url, token, body):
    """Results of one batch, an acknowledgement or a rejection for each event.

    Without an answer it is not known whether events were taken; sending them again is harmless,
    because an event is known by its source and event_id.
    """
    give_up = time.monotonic() + GIVE_UP_SECONDS
    wait = 0.5
    while True:
        status, headers, text = ask(url, token, body)
        # 400 has the same results where no event was taken.
        if status in (200, 400):
            answer = json.loads(text)
            if "results" in answer:
                return answer["results"]
        if status not in (0, 408, 429) and status < 500:
            raise SystemExit(f"refused, {status}: {text.decode(errors='replace')}")
        hint = headers.get("Retry-After", "")
        # Not all at the same moment, and never before the hint.
        pause = float(hint) if hint.isdigit() else wait * random.uniform(0.5, 1)
        if time.monotonic() + pause > give_up:
            raise SystemExit(f"given up, {status}: {text.decode(errors='replace')}")
        time.sleep(pause)
        wait = min(wait * 2, 30)


def main():
    url = os.environ.get("ZHILI_URL", "http://127.0.0.1:7400").rstrip("/")
    token = os.environ["ZHILI_TOKEN"]
    accepted, rejected = 0, 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for body in batches(lines):
            for result in send(url, token, body):
                reason = result.get("rejection")
                if reason is None:
                    accepted += 1
                    continue
                rejected += 1
                print(f"{result.get('event_id', '?')}: {reason['field']}: {reason['message']}", file=sys.stderr)
    print(f"{accepted} accepted, {rejected} rejected")
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
