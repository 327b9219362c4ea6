//! What JavaScript does with values, where an answer must equal what Chatty's own code gave: its dates, its `trim`, its
//! order of strings and the exact steps of its `Array.prototype.sort`.

pub mod array_sort;
pub mod date;
pub mod text;
