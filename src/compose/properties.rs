//! Properties of the room that no single case shows.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::budget::Budget;
use super::document::Document;
use super::node::{Map, Node, Place, Value};
use super::path::Path;
use super::{canonical, expand, merge, unique, variables, yaml};

fn read(text: &str) -> Map {
    let stream = yaml::parse(0, text).unwrap_or_else(|fault| panic!("{fault:?}\n{text}"));
    let mut documents = expand::expand(&stream, &mut Budget::default()).unwrap();
    match documents.remove(0).root.value {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

fn node(value: Value) -> Node {
    Node::new(Place::default(), value)
}

fn map(entries: impl IntoIterator<Item = (String, Node)>) -> Map {
    let mut map = Map::default();
    for (key, node) in entries {
        map.set(key, Place::default(), node);
    }
    map
}

/// Text with everything that YAML is picky about.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9:#'\"\\[\\]{}&*!|>%@`,?. ~=<$\\\\\n\t-]{0,12}",
        "(yes|no|null|~|true|1|1\\.0|0x1|1:30|2020-01-01|<<|on|---|\\.\\.\\.)",
        "\\PC{0,8}",
        "[ \n]{0,3}[a-z]{0,3}[ \n]{0,3}",
    ]
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e6..1e6).prop_map(|float: f64| Value::Float(float + 0.5)),
        text().prop_map(|text| Value::Text(text.into())),
    ];
    leaf.prop_map(node).prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|items| node(Value::List(items))),
            btree_map(text(), inner, 0..5).prop_map(|entries| node(Value::Map(map(entries)))),
        ]
    })
}

/// A service's keys, in short and long forms.
fn service() -> impl Strategy<Value = Map> {
    let word = "[a-c]";
    let pair = "[a-c]=[0-9]";
    let texts = |strategy: &'static str| {
        vec(strategy, 0..4).prop_map(|items| {
            let items = items.into_iter().map(|text| node(Value::Text(text.into())));
            node(Value::List(items.collect()))
        })
    };
    let pairs = btree_map(word, "[0-9]", 0..3).prop_map(|entries| {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key, node(Value::Text(value.into()))));
        node(Value::Map(map(entries)))
    });
    let lines = prop_oneof![pairs, texts(pair)];
    let build = prop_oneof![
        word.prop_map(|text| node(Value::Text(text.into()))),
        lines
            .clone()
            .prop_map(|args| node(Value::Map(map([("args".to_owned(), args)])))),
    ];
    let value = prop_oneof![
        word.prop_map(|text| ("image".to_owned(), node(Value::Text(text.into())))),
        texts(word).prop_map(|list| ("command".to_owned(), list)),
        texts(word).prop_map(|list| ("cap_add".to_owned(), list)),
        texts("[1-3]:[1-3]").prop_map(|list| ("ports".to_owned(), list)),
        texts("\\./[a-c]:/[a-c]").prop_map(|list| ("volumes".to_owned(), list)),
        texts(word).prop_map(|list| ("networks".to_owned(), list)),
        texts(word).prop_map(|list| ("depends_on".to_owned(), list)),
        lines
            .clone()
            .prop_map(|lines| ("environment".to_owned(), lines)),
        lines.prop_map(|lines| ("labels".to_owned(), lines)),
        build.prop_map(|build| ("build".to_owned(), build)),
    ];
    vec(value, 0..6).prop_map(map)
}

fn project(service: Map) -> Map {
    let service = node(Value::Map(service));
    let services = map([("a".to_owned(), service)]);
    map([("services".to_owned(), node(Value::Map(services)))])
}

/// A file merged over what there is, as the loader does it.
fn over(base: Map, file: Map) -> Map {
    let mut merged = merge::merge(base, file).unwrap();
    unique::enforce(&mut merged).unwrap();
    merged
}

/// The merged project in long forms, lists of `key=value` as mappings: what the order of merging
/// must not change.
fn settled(mut document: Map) -> Map {
    let mut findings = variables::Findings::default();
    canonical::transform(&mut document, &mut findings).unwrap();
    unique::enforce(&mut document).unwrap();
    super::decode::decode(document, &mut findings).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever an extension holds is read back as it was.
    #[test]
    fn what_is_printed_is_read_back(value in tree()) {
        let mut root = Map::default();
        let kept = node(Value::Map(map([("x-any".to_owned(), value.clone())])));
        root.set(super::decode::EXTENSIONS, Place::default(), kept);
        // Printing writes `$$` for `$`, as all of it is meant to be interpolated again.
        let printed = Document { root }.yaml().to_string().replace("$$", "$");
        let read = read(&printed);
        let back = read.get("x-any").unwrap();
        prop_assert!(back.same(&value), "{printed}\n{back:?}\n{value:?}");
    }

    /// Three files give the same, whichever two are merged first.
    #[test]
    fn merging_is_associative(a in service(), b in service(), c in service()) {
        let [a, b, c] = [a, b, c].map(project);
        let left = over(over(a.clone(), b.clone()), c.clone());
        let right = over(a, over(b, c));
        let (left, right) = (node(Value::Map(settled(left))), node(Value::Map(settled(right))));
        prop_assert!(left.same(&right), "{left:?}\n{right:?}");
    }

    /// No text makes the parser panic, and a place is always within the text.
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,40}|[ a:\\-\\[\\]{}&*!|>'\"#\n\t<]{0,40}") {
        match yaml::parse(0, &text) {
            Ok(stream) => for node in &stream.nodes {
                prop_assert!(node.place.start as usize <= text.len());
            },
            Err(fault) => prop_assert!(fault.place.start as usize <= text.len()),
        }
    }
}

#[test]
fn a_path_of_any_length_has_its_keys() {
    let root = Path::root();
    let services = root.child("services");
    let web = services.child("web.x");
    assert_eq!(web.to_string(), "services.web.x");
    web.rule(|keys| assert_eq!(keys, ["services", "web.x"]));
}
