//! Resources, attributes and their values.

enumeration! {
    /// Value.Type.
    ValueType {
        Scalar = 0 "SCALAR",
        Ranges = 1 "RANGES",
        Set = 2 "SET",
        Text = 3 "TEXT",
    }
}

/// Value.Scalar; three decimals count.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Scalar {
    #[prost(double, required, tag = "1")]
    pub value: f64,
}

/// Value.Range; both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Range {
    #[prost(uint64, required, tag = "1")]
    pub begin: u64,
    #[prost(uint64, required, tag = "2")]
    pub end: u64,
}

/// Value.Ranges.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ranges {
    #[prost(message, repeated, tag = "1")]
    pub range: Vec<Range>,
}

/// Value.Set.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Set {
    #[prost(string, repeated, tag = "1")]
    pub item: Vec<String>,
}

/// Value.Text.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Text {
    #[prost(string, required, tag = "1")]
    pub value: String,
}

/// Something that an agent has and tasks use up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "ValueType", required, tag = "2")]
    pub r#type: i32,
    #[prost(message, optional, tag = "3")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    pub ranges: Option<Ranges>,
    #[prost(message, optional, tag = "5")]
    pub set: Option<Set>,
    /// The form before reservation refinement: the role it is reserved for.
    #[prost(string, optional, tag = "6", default = "*")]
    pub role: Option<String>,
    /// The form before reservation refinement: a dynamic reservation.
    #[prost(message, optional, tag = "8")]
    pub reservation: Option<ReservationInfo>,
    #[prost(message, optional, tag = "11")]
    pub allocation_info: Option<AllocationInfo>,
    /// The stack of reservations.
    #[prost(message, repeated, tag = "13")]
    pub reservations: Vec<ReservationInfo>,
}

/// Resource.AllocationInfo: the role for which it was offered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AllocationInfo {
    #[prost(string, optional, tag = "1")]
    pub role: Option<String>,
}

/// Resource.ReservationInfo.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReservationInfo {
    #[prost(string, optional, tag = "1")]
    pub principal: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub role: Option<String>,
    #[prost(enumeration = "ReservationType", optional, tag = "4")]
    pub r#type: Option<i32>,
}

enumeration! {
    /// Resource.ReservationInfo.Type.
    ReservationType {
        Unknown = 0 "UNKNOWN",
        Static = 1 "STATIC",
        Dynamic = 2 "DYNAMIC",
    }
}

/// What is said of an agent. The numbers of `set` and `text` are not those of a resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "ValueType", required, tag = "2")]
    pub r#type: i32,
    #[prost(message, optional, tag = "3")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    pub ranges: Option<Ranges>,
    #[prost(message, optional, tag = "5")]
    pub text: Option<Text>,
    #[prost(message, optional, tag = "6")]
    pub set: Option<Set>,
}
