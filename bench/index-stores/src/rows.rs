//! The rows: what an index knows of one file, made from its number and its generation alone, so that any process can
//! tell whether what it reads is right.

use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub const SIGNATURE: usize = 48;
pub const NUMBERS: usize = 16;
/// Signature, time and numbers as bytes, for the stores that keep rows as bytes.
pub const PACKED: usize = SIGNATURE + 8 + 4 * NUMBERS;

/// Steele, Lea and Flood's splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    pub signature: [u8; SIGNATURE],
    pub time: f64,
    pub numbers: [u32; NUMBERS],
}

impl Head {
    pub fn pack(&self) -> [u8; PACKED] {
        let mut packed = [0; PACKED];
        packed[..SIGNATURE].copy_from_slice(&self.signature);
        packed[SIGNATURE..SIGNATURE + 8].copy_from_slice(&self.time.to_le_bytes());
        packed[SIGNATURE + 8..].copy_from_slice(&self.numbers_packed());
        packed
    }

    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let (signature, rest) = packed.split_first_chunk()?;
        let (time, numbers) = rest.split_first_chunk()?;
        let numbers = unpack_numbers(numbers.first_chunk()?);
        Some(Self { signature: *signature, time: f64::from_le_bytes(*time), numbers })
    }

    pub fn numbers_packed(&self) -> [u8; 4 * NUMBERS] {
        let mut packed = [0; 4 * NUMBERS];
        for (bytes, number) in packed.as_chunks_mut::<4>().0.iter_mut().zip(self.numbers) {
            *bytes = number.to_le_bytes();
        }
        packed
    }
}

pub fn unpack_numbers(packed: &[u8; 4 * NUMBERS]) -> [u32; NUMBERS] {
    let mut numbers = [0; NUMBERS];
    for (number, bytes) in numbers.iter_mut().zip(packed.as_chunks().0) {
        *number = u32::from_le_bytes(*bytes);
    }
    numbers
}

#[derive(Clone)]
pub struct Row {
    pub id: u32,
    pub name: String,
    pub head: Head,
    pub text: Vec<u8>,
}

impl Row {
    pub fn new(id: u32, generation: u32) -> Self {
        let mut random = Random((u64::from(id) << 32) | u64::from(generation));
        let mut signature = [0; SIGNATURE];
        for bytes in signature.as_chunks_mut::<8>().0 {
            *bytes = random.next().to_le_bytes();
        }
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = random.below(1000) as u32;
        }
        let time = 1.7e12 + (random.unit() * 1e11).floor();
        // 300 to 3,000 bytes, 900 on average.
        let length = 300 + (2700.0 * random.unit().powf(3.5)) as usize;
        let mut text = format!(r#"{{"row":{id},"generation":{generation},"content":""#).into_bytes();
        while text.len() + 2 < length {
            let word = random.next();
            let letters = (word & 7) as usize + 2;
            text.extend((0..letters).map(|at| b'a' + ((word >> (8 + 5 * at)) & 31).min(25) as u8));
            text.push(b' ');
        }
        text.extend_from_slice(br#""}"#);
        // The name stays: generations are states of one file.
        let name = format!("mem_{:012x}_{:016x}.capsule", id, Random(u64::from(id)).next());
        Self { id, name, head: Head { signature, time, numbers }, text }
    }
}

pub fn first_rows(count: u32) -> Vec<Row> {
    (0..count).map(|id| Row::new(id, 0)).collect()
}

/// The rows that change from one generation to the next: distinct, and spread over all.
pub fn changed(count: u32, generation: u32, changes: u32) -> impl Iterator<Item = u32> {
    let start = Random(u64::from(generation)).below(u64::from(count)) as u32;
    let stride = count / changes;
    (0..changes).map(move |step| (start + step * stride) % count)
}

/// All rows' heads in memory, the names in one piece: what reopening a vault needs.
#[derive(Default, PartialEq)]
pub struct Heads {
    pub rows: Vec<Head>,
    pub names: Vec<u8>,
    pub name_ends: Vec<u32>,
}

impl Heads {
    pub fn push(&mut self, name: &[u8], head: Head) {
        self.rows.push(head);
        self.names.extend_from_slice(name);
        self.name_ends.push(self.names.len() as u32);
    }
}

/// All rows' texts in memory, in one piece.
#[derive(Default, PartialEq)]
pub struct Texts {
    pub bytes: Vec<u8>,
    pub ends: Vec<u64>,
}

impl Texts {
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u64);
    }
}

/// What a store must hold when the rows have these generations.
pub fn expected(generations: &[u32]) -> (Heads, Texts) {
    let mut heads = Heads::default();
    let mut texts = Texts::default();
    for (id, generation) in generations.iter().enumerate() {
        let row = Row::new(id as u32, *generation);
        heads.push(row.name.as_bytes(), row.head);
        texts.push(&row.text);
    }
    (heads, texts)
}

/// Whether this is a whole text of that row, of whatever generation.
pub fn is_text_of(id: u32, text: &[u8]) -> bool {
    let beginning = format!(r#"{{"row":{id},"generation":"#);
    let Some(rest) = text.strip_prefix(beginning.as_bytes()) else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let generation = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok());
    generation.is_some_and(|generation| Row::new(id, generation).text == text)
}
