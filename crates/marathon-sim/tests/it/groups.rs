//! Groups.

use marathon_sim::Generation;
use serde_json::{Value, json};

use crate::support::*;

fn group() -> Value {
    json!({"id": "/shop", "apps": [bridge_app("db", 1)],
        "groups": [{"id": "front", "apps": [bridge_app("web", 1), bridge_app("/shop/front/api", 0)]}]})
}

#[tokio::test]
async fn a_group_is_made_read_changed_and_removed_whole() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let made = cluster.put("POST", "/v2/groups", &group()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("location"), format!("{}/v2/groups/shop", cluster.url()));
    cluster.settled().await;
    let again = cluster.send("POST", "/v2/groups", group().to_string()).await;
    let words = "Group /shop is already created. Use PUT to change this group.";
    assert_eq!((again.status, again.message()), (409, words));

    let tree = cluster.get(
        "/v2/groups?embed=group.groups&embed=group.apps&embed=group.pods&embed=group.apps.tasks",
    );
    assert_has(
        &tree.await,
        &json!({"id": "/", "apps": [], "pods": [], "groups": [{"id": "/shop",
            "apps": [{"id": "/shop/db", "tasks": [{"appId": "/shop/db"}]}],
            "groups": [{"id": "/shop/front", "groups": [],
                "apps": [{"id": "/shop/front/api"}, {"id": "/shop/front/web"}]}]}]}),
    );
    let shallow = cluster.get("/v2/groups/shop?embed=group.apps").await;
    assert_has(&shallow, &json!({"apps": [{"id": "/shop/db"}], "groups": []}));
    assert_eq!(shallow["apps"][0].get("tasks"), None);
    let inside = cluster.get("/v2/apps//shop/*").await;
    assert_eq!(inside["*"].as_array().unwrap().len(), 3);

    // What a group lists is all it has; what it doesn't list stays.
    let change = json!({"groups": [{"id": "front", "apps": [bridge_app("web", 1)]}]});
    cluster.put("PUT", "/v2/groups/shop", &change).await;
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/apps//shop/*").await["*"].as_array().unwrap().len(), 2);

    cluster.put("DELETE", "/v2/groups/shop", &json!({})).await;
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/apps").await, json!({"apps": []}));
    assert_eq!(cluster.send("GET", "/v2/groups/shop", "").await.status, 404);
    cluster.end().await;
}

#[tokio::test]
async fn a_group_with_one_bad_app_changes_nothing() {
    let cluster = Cluster::start(Generation::V1_5).await;
    let mut bad = group();
    bad["groups"][0]["apps"][0]["id"] = json!("Not_A_Path");
    let reply = cluster.send("POST", "/v2/groups", bad.to_string()).await;
    assert_eq!((reply.status, reply.message()), (422, "Object is not valid"));
    assert_eq!(cluster.get("/v2/apps").await, json!({"apps": []}));
    cluster.end().await;
}

#[tokio::test]
async fn an_empty_group_stays_and_pods_are_shown_in_theirs() {
    let cluster = Cluster::start(Generation::V1_4).await;
    cluster.put("POST", "/v2/groups", &json!({"id": "/empty"})).await;
    let pod = json!({"id": "/g/p", "containers": [{"name": "c", "image": {"id": "x"}}]});
    cluster.put("POST", "/v2/pods", &pod).await;
    assert_has(
        &cluster.get("/v2/groups").await,
        &json!({"groups": [{"id": "/empty", "apps": [], "groups": [], "pods": []},
            {"id": "/g", "pods": [{"id": "/g/p", "spec": {"id": "/g/p"}}]}]}),
    );
    cluster.end().await;
}
