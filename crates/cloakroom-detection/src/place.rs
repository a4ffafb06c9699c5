//! Where an address is: its network, its country, and how fast one gets from one to another.

use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::time::Duration;

use maxminddb::{MaxMindDbError, PathElement, Reader, path};

/// Where an address is, as far as anybody knows.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Place {
    /// The number of the autonomous system it belongs to.
    pub network: Option<u32>,
    /// Its country.
    pub country: Option<Country>,
    /// Its position.
    pub position: Option<Position>,
}

/// Two letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country with this code; `None` where it is not two letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A position on Earth, and within how many kilometres around it somebody probably is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Kilometres.
    pub accuracy_km: u16,
}

impl Position {
    /// Kilometres to `other` along the surface, less what both positions are uncertain by.
    #[must_use]
    pub fn surely_km_to(&self, other: &Self) -> f64 {
        let [from, to, east_from, east_to] =
            [self.latitude, other.latitude, self.longitude, other.longitude].map(f64::to_radians);
        let (north, east) = ((to - from) / 2.0, (east_to - east_from) / 2.0);
        let half_chord = north.sin().powi(2) + from.cos() * to.cos() * east.sin().powi(2);
        let km = 2.0 * EARTH_RADIUS_KM * half_chord.clamp(0.0, 1.0).sqrt().asin();
        (km - f64::from(self.accuracy_km) - f64::from(other.accuracy_km)).max(0.0)
    }
}

/// Kilometres an hour that it takes to cover `km` in `time`; infinite for no time at all.
pub(crate) fn speed_kmh(km: f64, time: Duration) -> f64 {
    km / (time.as_secs_f64() / 3_600.0)
}

/// Knows where addresses are.
pub trait Places: Debug + Send + Sync + 'static {
    /// Where `address` is; nothing of what is unknown.
    fn find(&self, address: IpAddr) -> Place;
}

/// A database in MaxMind's format (GeoLite2 City, Country or ASN, and whatever else writes it), held in memory.
pub struct MaxMindPlaces {
    reader: Reader<Vec<u8>>,
}

impl MaxMindPlaces {
    /// The database in `bytes`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, UnreadablePlaces> {
        Reader::from_source(bytes).map(|reader| Self { reader }).map_err(UnreadablePlaces)
    }

    /// What kind of database it is, in its maker's words.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }
}

impl Places for MaxMindPlaces {
    fn find(&self, address: IpAddr) -> Place {
        let Ok(found) = self.reader.lookup(address) else { return Place::default() };
        if !found.has_data() {
            return Place::default();
        }
        // A database has some of these; what it does not have, or has in another form, is unknown.
        let degrees = |path: &[PathElement<'_>], most: f64| {
            found.decode_path::<f64>(path).ok().flatten().filter(|degrees| degrees.abs() <= most)
        };
        let latitude = degrees(&path!["location", "latitude"], 90.0);
        let longitude = degrees(&path!["location", "longitude"], 180.0);
        let accuracy = found.decode_path::<u16>(&path!["location", "accuracy_radius"]).ok().flatten();
        let country = found.decode_path::<&str>(&path!["country", "iso_code"]).ok().flatten();
        Place {
            network: found.decode_path(&path!["autonomous_system_number"]).ok().flatten(),
            country: country.and_then(Country::new),
            position: latitude.zip(longitude).map(|(latitude, longitude)| Position {
                latitude,
                longitude,
                // Without a word on it, a position is that of a country at best.
                accuracy_km: accuracy.unwrap_or(UNKNOWN_ACCURACY_KM),
            }),
        }
    }
}

impl Debug for MaxMindPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaxMindPlaces").field(&self.kind()).finish()
    }
}

/// Several databases as one: of each fact, what the first of them knows.
impl Places for Vec<MaxMindPlaces> {
    fn find(&self, address: IpAddr) -> Place {
        self.iter().map(|places| places.find(address)).fold(Place::default(), |known, more| Place {
            network: known.network.or(more.network),
            country: known.country.or(more.country),
            position: known.position.or(more.position),
        })
    }
}

/// A database that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a database in MaxMind's format")]
pub struct UnreadablePlaces(#[source] MaxMindDbError);

/// The mean radius (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.0;
/// MaxMind's largest radius.
const UNKNOWN_ACCURACY_KM: u16 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_atlas_less_what_is_uncertain() {
        let berlin = Position { latitude: 52.52, longitude: 13.405, accuracy_km: 0 };
        let tokyo = Position { latitude: 35.69, longitude: 139.69, accuracy_km: 0 };
        assert!((berlin.surely_km_to(&tokyo) - 8_918.0).abs() < 10.0, "{}", berlin.surely_km_to(&tokyo));
        let rough = Position { accuracy_km: 1_000, ..tokyo };
        assert!((berlin.surely_km_to(&rough) - 7_918.0).abs() < 10.0);
        assert!(berlin.surely_km_to(&berlin) < 1e-9);
        let antipode = Position { latitude: -52.52, longitude: 13.405 - 180.0, accuracy_km: 0 };
        assert!((berlin.surely_km_to(&antipode) - 20_015.0).abs() < 10.0);
        assert!(speed_kmh(1.0, Duration::ZERO).is_infinite());
    }

    #[test]
    fn a_country_is_two_capital_letters() {
        assert_eq!(Country::new("DE").unwrap().as_str(), "DE");
        for wrong in ["", "D", "de", "DEU", "Ä", "1A"] {
            assert_eq!(Country::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(MaxMindPlaces::from_bytes(b"no database".to_vec()).is_err());
    }
}
