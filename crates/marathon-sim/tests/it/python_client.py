"""Calls every method of the PyPI package marathon 0.13 once, on a simulated Marathon.

Prints a line for each call that fails. Left out are those that no Marathon can answer:
rollback_group() puts to a path that Marathon doesn't have, and kill_tasks(batch_size=...) waits for
tasks that have not started.
"""

import collections
import collections.abc
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
# The client is older than Python 3.10, which removed this name.
collections.Iterable = collections.abc.Iterable

from marathon import MarathonClient  # noqa: E402
from marathon.models import MarathonApp, MarathonGroup  # noqa: E402
from marathon.models.container import MarathonContainer  # noqa: E402

url, generation = sys.argv[2], sys.argv[3]
client = MarathonClient(url, timeout=20)
failed = []


def call(name, function, check=lambda result: True):
    try:
        result = function()
        if not check(result):
            failed.append(f"{name}: unexpected {result!r}")
        return result
    except Exception as error:  # each is a finding
        failed.append(f"{name}: {type(error).__name__}: {error}")
        return None


def settle():
    end = time.monotonic() + 30
    while client.list_deployments():
        assert time.monotonic() < end, "a deployment doesn't end"
        time.sleep(0.02)


def app(**fields):
    container = {"type": "DOCKER", "docker": {
        "image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80, "hostPort": 0}]}}
    return MarathonApp(container=MarathonContainer.from_json(container), mem=16, cpus=0.1, **fields)


events = []
heard = threading.Event()


def listen():
    # It fails on deployments without the groups before and after, which later generations omit.
    kinds = ["status_update_event", "api_post_event", "event_stream_attached"]
    for event in client.event_stream(event_types=kinds if generation == "1.6" else None):
        events.append(event)
        heard.set()


threading.Thread(target=listen, daemon=True).start()
heard.wait(10)

call("ping", client.ping, lambda text: b"pong" in text)
call("get_info", client.get_info, lambda info: info.framework_id)
call("get_leader", client.get_leader, lambda leader: leader["leader"])
call("get_metrics", client.get_metrics, lambda metrics: metrics["gauges"])
call("create_app", lambda: client.create_app("/py/web", app(instances=2, labels={"a": "b"})))
settle()
call("list_apps", client.list_apps, lambda apps: [a.id for a in apps] == ["/py/web"])
call("list_apps(embed)", lambda: client.list_apps(
    embed_tasks=True, embed_counts=True, embed_deployments=True, embed_readiness=True,
    embed_last_task_failure=True, embed_failures=True, embed_task_stats=True, label="a==b",
    app_id="py"), lambda apps: len(apps[0].tasks) == 2)
call("get_app", lambda: client.get_app("/py/web"), lambda one: one.instances == 2)
call("list_tasks", client.list_tasks, lambda tasks: len(tasks) == 2)
call("list_tasks(app)", lambda: client.list_tasks("/py/web"), lambda tasks: len(tasks) == 2)
call("list_endpoints", client.list_endpoints, lambda ends: len(ends) == 2)
call("update_app(force)", lambda: client.update_app(
    "/py/web", app(instances=3), force=True), lambda result: result["deploymentId"])
call("update_app(locked, force)", lambda: client.update_app(
    "/py/web", app(instances=2), force=True), lambda result: result["deploymentId"])
settle()
call("update_apps", lambda: client.update_apps(
    [app(id="/py/web", instances=2), app(id="/py/db", instances=1)], force=True))
settle()
call("scale_app", lambda: client.scale_app("/py/web", instances=3, force=True))
settle()
call("scale_app(delta)", lambda: client.scale_app("/py/web", delta=-1, force=True))
settle()
call("restart_app", lambda: client.restart_app("/py/web", force=True))
settle()
versions = call("list_versions", lambda: client.list_versions("/py/web"), lambda v: len(v) > 1)
if versions:
    call("get_version", lambda: client.get_version("/py/web", versions[-1]))
    call("rollback_app", lambda: client.rollback_app("/py/web", versions[-1], force=True))
settle()
tasks = call("list_tasks", lambda: client.list_tasks("/py/web")) or []
if tasks:
    call("kill_task", lambda: client.kill_task("/py/web", tasks[0].id, scale=False, wipe=True))
    call("kill_given_tasks", lambda: client.kill_given_tasks([tasks[1].id], scale=True, force=True))
settle()
call("kill_tasks", lambda: client.kill_tasks("/py/web", host="127.0.0.99", wipe=True))
call("kill_tasks(scale)", lambda: client.kill_tasks("/py/db", scale=True))
settle()
call("create_app(queued)", lambda: client.create_app(
    "/py/queued", app(instances=5, constraints=[["hostname", "UNIQUE"]])))
call("list_queue", client.list_queue, lambda queue: [i.app.id for i in queue] == ["/py/queued"])
call("list_queue(embed)", lambda: client.list_queue(embed_last_unused_offers=True))
call("reset_delay", lambda: client.reset_delay("/py/queued"))
deployments = call("list_deployments", client.list_deployments, lambda all: len(all) == 1)
if deployments:
    call("delete_deployment", lambda: client.delete_deployment(deployments[0].id, force=True))
call("delete_app", lambda: client.delete_app("/py/queued", force=True))
settle()
call("create_group", lambda: client.create_group(MarathonGroup(id="/pg", apps=[app(id="one")])))
settle()
call("list_groups", client.list_groups, lambda groups: "/pg" in [g.id for g in groups])
call("get_group", lambda: client.get_group("/pg"), lambda group: group.id == "/pg")
call("scale_group", lambda: client.scale_group("/pg", 2))
settle()
call("update_group", lambda: client.update_group(
    "/pg", MarathonGroup(apps=[app(id="one"), app(id="two")]), force=True))
settle()
call("delete_group", lambda: client.delete_group("/pg", force=True))
settle()
if generation in ("1.1", "1.4"):
    hook = "http://127.0.0.1:9/hook"
    call("create_event_subscription", lambda: client.create_event_subscription(hook),
         lambda event: event["callbackUrl"] == hook)
    call("list_event_subscriptions", client.list_event_subscriptions, lambda all: all == [hook])
    call("delete_event_subscription", lambda: client.delete_event_subscription(hook))
    call("list_event_subscriptions", client.list_event_subscriptions, lambda all: all == [])
call("event_stream", lambda: len(events), lambda count: count > 5)
call("delete_leader", client.delete_leader, lambda answer: "abdicated" in answer["message"])

print("\n".join(failed) or "all calls passed")
