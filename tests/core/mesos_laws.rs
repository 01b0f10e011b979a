//! What holds of Mesos' grammars for every input: nothing panics, and what is printed reads back.

use std::time::Duration;

use proptest::prelude::*;
use provision::mesos::compatibility;
use provision::mesos::constraints::Constraints;
use provision::mesos::flags::{self, Component, check_flag};
use provision::mesos::live::AgentInfo;
use provision::mesos::properties::{self, check_property, parse_mib};
use provision::mesos::roles;
use provision::mesos::units::{
    Bytes, Rate, parse_bool, parse_duration, parse_percent, print_duration,
};
use provision::mesos::values::{Attributes, Resources, Value};
use provision::mesos::versions::Version;

fn version(text: &str) -> Version {
    Version::parse(text).expect(text)
}

fn v111() -> Version {
    version("1.11.0")
}

proptest! {
    #[test]
    fn nothing_panics_on_any_text(text in any::<String>(), at in prop::sample::select(vec!["0.20.1", "0.28.3", "1.7.0", "1.11.0", "1.12.0"])) {
        let at = version(at);
        let _ = Value::parse(&text, &at);
        let _ = Resources::parse(&text, &at);
        let _ = Attributes::parse(&text, &at);
        let _ = Constraints::parse(&text).map(|c| c.matches(&Attributes::default()));
        let _ = parse_duration(&text).map(print_duration);
        let _ = (text.parse::<Bytes>(), text.parse::<Rate>(), parse_percent(&text));
        let _ = roles::check_weights(&text, &at);
        let _ = compatibility::docker_version(&text);
        let _ = roles::check_name(&text, &at);
        let _ = (parse_bool(&text), Version::parse(&text), parse_mib(&text));
        let _ = Resources::from_json(&text, &at);
        let _ = check_property(&text, &text, &at);
        for component in [Component::Master, Component::Agent] {
            let _ = check_flag(component, &text, &text, &at);
            for flag in flags::all(component) {
                let _ = check_flag(component, &flag.name, &text, &at);
            }
        }
        for property in properties::all() {
            let _ = check_property(&property.name, &text, &version("3.5.1"));
        }
    }

    #[test]
    fn numbers_and_units_end_in_a_value_or_a_sentence(text in "[0-9.eE+-]{0,12} ?[a-zA-Z%]{0,5}(/[0-9]{0,3}[a-z]{0,4})?") {
        if let Ok(duration) = parse_duration(&text) {
            prop_assert!(parse_duration(&print_duration(duration)).is_ok(), "{text}");
        }
        if let Ok(bytes) = text.parse::<Bytes>() {
            prop_assert_eq!(bytes.to_string().parse::<Bytes>(), Ok(bytes));
        }
        if let Ok(rate) = text.parse::<Rate>() {
            prop_assert!(rate.to_string().parse::<Rate>().is_ok(), "{text}");
        }
        if let Ok(percent) = parse_percent(&text) {
            prop_assert!((0.0..=100.0).contains(&percent));
        }
        if let Some(mib) = parse_mib(&text) {
            prop_assert_eq!(parse_mib(&format!("{mib}m")), Some(mib));
        }
    }

    /// Mesos' JSON form, whole and broken.
    #[test]
    fn resources_as_json_read_like_their_text(
        list in prop::collection::vec(json_resource(), 0..5),
        cut in any::<prop::sample::Index>(),
        noise in "[\\[\\]{}\",:0-9a-z]{0,3}",
    ) {
        let json = serde_json::Value::Array(list).to_string();
        if let Ok(resources) = Resources::parse(&json, &v111()) {
            let again = Resources::parse(&resources.to_string(), &v111()).unwrap();
            prop_assert_eq!(&again.0, &resources.0, "{}", json);
        }
        let at = cut.index(json.len());
        let broken = format!("{}{noise}{}", &json[..at], &json[at..]);
        let _ = Resources::parse(&broken, &v111());
        // What a master answers has the same messages in it.
        let agent = serde_json::json!({
            "id": "S1", "hostname": "h", "attributes": {"a": noise, "b": 1.5},
            "unreserved_resources_full": serde_json::from_str::<serde_json::Value>(&json).unwrap(),
        });
        let _ = AgentInfo::from_json(&agent);
    }

    #[test]
    fn nothing_panics_on_text_of_the_grammars_own_letters(text in "[a-c0-9:;,()\\[\\]{}.*/ =-]{0,24}") {
        let at = v111();
        if let Ok(resources) = Resources::parse(&text, &at) {
            let again = Resources::parse(&resources.to_string(), &at).unwrap();
            prop_assert_eq!(&again.0, &resources.0);
        }
        if let Ok(attributes) = Attributes::parse(&text, &at) {
            prop_assert_eq!(Attributes::parse(&attributes.to_string(), &at).unwrap(), attributes);
        }
        if let Ok(constraints) = Constraints::parse(&text) {
            let _ = constraints.matches(&Attributes::parse("a:1;b:[1-2];c:x", &at).unwrap());
            prop_assert_eq!(Constraints::parse(&constraints.to_string()), Ok(constraints));
        }
    }

    #[test]
    fn resources_read_back_as_printed(list in prop::collection::vec(
        ("(cpus|mem|disk|gpus|ports|x[a-z]{0,3})", "(\\*|[a-z]{1,4}(/[a-z]{1,3})?)", 0_i64..9_000_000_000, any::<u32>(), 0_u32..2000), 0..8)
    ) {
        let mut resources = Resources::default();
        for (name, role, scalar, begin, length) in list {
            let begin = u64::from(begin);
            let value = match name.as_str() {
                "ports" => Value::Ranges(vec![(begin, begin + u64::from(length))]),
                _ => Value::Scalar(scalar),
            };
            resources.add(&name, &role, value, &v111()).unwrap();
        }
        let again = Resources::parse(&resources.to_string(), &v111()).unwrap();
        prop_assert_eq!(again.0, resources.0);
    }

    #[test]
    fn what_is_taken_and_what_is_left_make_the_whole(
        all in prop::collection::vec((0_u64..200, 0_u64..20), 0..6),
        part in prop::collection::vec((0_u64..200, 0_u64..6), 0..3),
    ) {
        let ranges = |list: Vec<(u64, u64)>| Value::ranges(list.into_iter().map(|(b, l)| (b, b + l)).collect());
        let (all, part) = (ranges(all), ranges(part));
        match all.minus(&part) {
            Some(rest) => {
                prop_assert!(!rest.holds(&part) || part.is_empty());
                prop_assert_eq!(rest.plus(&part), Some(all));
            }
            None => prop_assert!(!all.holds(&part)),
        }
    }

    #[test]
    fn durations_and_sizes_read_back_as_printed(number in 0_u64..100_000, unit in 0_usize..8, bytes in any::<u64>()) {
        let unit = ["ns", "us", "ms", "secs", "mins", "hrs", "days", "weeks"][unit];
        let number = if unit == "weeks" { number % 10_000 } else { number };
        let duration = parse_duration(&format!("{number}{unit}")).unwrap();
        let again = parse_duration(&print_duration(duration)).unwrap();
        // Sizes and times pass through a double, as in stout.
        prop_assert!(duration.abs_diff(again) <= Duration::from_micros(100));
        prop_assert_eq!(Bytes(bytes).to_string().parse::<Bytes>(), Ok(Bytes(bytes)));
    }
}

fn json_resource() -> impl Strategy<Value = serde_json::Value> {
    let kinds = prop::sample::select(vec!["SCALAR", "RANGES", "SET", "TEXT"]);
    let name = prop::sample::select(vec!["cpus", "mem", "ports", "x", ""]);
    let role = prop::option::of("[a-z*/]{0,3}");
    let scalar = prop::option::of(any::<f64>());
    let ranges = prop::option::of(prop::collection::vec(any::<(u64, u64)>(), 0..3));
    let set = prop::option::of(prop::collection::vec("[a-z{},]{0,3}", 0..3));
    (name, kinds, role, scalar, ranges, set).prop_map(|(name, kind, role, scalar, ranges, set)| {
        let mut json = serde_json::json!({ "name": name, "type": kind });
        if let Some(role) = role {
            json["role"] = role.into();
        }
        if let Some(value) = scalar {
            json["scalar"] = serde_json::json!({ "value": value });
        }
        if let Some(list) = ranges {
            let range = |(begin, end)| serde_json::json!({ "begin": begin, "end": end });
            json["ranges"] =
                serde_json::json!({ "range": list.into_iter().map(range).collect::<Vec<_>>() });
        }
        if let Some(items) = set {
            json["set"] = serde_json::json!({ "item": items });
        }
        json
    })
}
