//! Writes small databases in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>), as far as tests need it.

use std::net::IpAddr;

/// What a database says of a network.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    Short(u16),
    Word(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

/// What GeoLite2 City says of a network.
pub(crate) fn city(country: &'static str, latitude: f64, longitude: f64, accuracy_km: u16) -> Value {
    Value::Map(vec![
        ("country", Value::Map(vec![("iso_code", Value::Text(country))])),
        (
            "location",
            Value::Map(vec![
                ("accuracy_radius", Value::Short(accuracy_km)),
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
            ]),
        ),
    ])
}

/// A database of IPv6 addresses, IPv4 ones among them, that says `value` of each `network/prefix`.
pub(crate) fn database(kind: &'static str, entries: &[(&str, Value)]) -> Vec<u8> {
    // Nodes of the search tree: where each bit leads.
    let mut nodes: Vec<[Way; 2]> = vec![[Way::Nowhere; 2]];
    let mut data = Vec::new();
    for (network, value) in entries {
        let (address, prefix) = network.split_once('/').unwrap();
        let (bits, prefix) = match address.parse().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), prefix.parse::<u32>().unwrap() + 96),
            IpAddr::V6(v6) => (v6.to_bits(), prefix.parse().unwrap()),
        };
        let offset = data.len();
        encode(value, &mut data);
        let mut node = 0;
        for depth in 0..prefix {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == prefix {
                nodes[node][side] = Way::Data(offset);
            } else {
                node = match nodes[node][side] {
                    Way::Node(next) => next,
                    _ => {
                        nodes.push([Way::Nowhere; 2]);
                        nodes[node][side] = Way::Node(nodes.len() - 1);
                        nodes.len() - 1
                    }
                };
            }
        }
    }
    let mut bytes = Vec::new();
    for way in nodes.iter().flatten() {
        let record = match way {
            Way::Nowhere => nodes.len(),
            Way::Node(node) => *node,
            Way::Data(offset) => nodes.len() + 16 + offset,
        };
        bytes.extend(u32::try_from(record).unwrap().to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1_700_000_000)),
        ("database_type", Value::Text(kind)),
        ("description", Value::Map(vec![("en", Value::Text("made for a test"))])),
        ("ip_version", Value::Short(6)),
        ("languages", Value::List(vec![Value::Text("en")])),
        ("node_count", Value::Word(u32::try_from(nodes.len()).unwrap())),
        ("record_size", Value::Short(32)),
    ]);
    encode(&metadata, &mut bytes);
    bytes
}

/// Where a bit of an address leads.
#[derive(Clone, Copy)]
enum Way {
    Nowhere,
    Node(usize),
    Data(usize),
}

fn encode(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), to);
            to.extend(text.as_bytes());
        }
        Value::Double(double) => {
            control(3, 8, to);
            to.extend(double.to_be_bytes());
        }
        Value::Short(short) => {
            control(5, 2, to);
            to.extend(short.to_be_bytes());
        }
        Value::Word(word) => {
            control(6, 4, to);
            to.extend(word.to_be_bytes());
        }
        Value::Long(long) => {
            // An extended type: its number less seven in a byte of its own.
            to.extend([8, 9 - 7]);
            to.extend(long.to_be_bytes());
        }
        Value::Map(entries) => {
            control(7, entries.len(), to);
            for (key, value) in entries {
                encode(&Value::Text(key), to);
                encode(value, to);
            }
        }
        Value::List(items) => {
            to.push(u8::try_from(items.len()).unwrap());
            to.push(11 - 7);
            items.iter().for_each(|item| encode(item, to));
        }
    }
}

fn control(kind: u8, size: usize, to: &mut Vec<u8>) {
    match u8::try_from(size).unwrap() {
        small @ 0..29 => to.push(kind << 5 | small),
        more => to.extend([kind << 5 | 29, more - 29]),
    }
}
