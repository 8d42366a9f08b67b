//! Types and kinds.

use gotemplate::value::Type;

use crate::call::{Call, Table};
use crate::equal;

const ANY: Type = Type::Any;
const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    table.add("typeOf", &[ANY], TEXT, |call| call.string(type_of(call, 0)));
    table.add("typeIs", &[TEXT, ANY], Type::Bool, |call| {
        Ok((call.text(0) == type_of(call, 1).as_bytes()).into())
    });
    table.add("typeIsLike", &[TEXT, ANY], Type::Bool, |call| {
        let found = type_of(call, 1);
        let pointee = found.strip_prefix('*').unwrap_or(&found);
        Ok([found.as_bytes(), pointee.as_bytes()].contains(&call.text(0)).into())
    });
    table.add("kindOf", &[ANY], TEXT, |call| call.string(call.value(0).kind()));
    table.add("kindIs", &[TEXT, ANY], Type::Bool, |call| {
        Ok((call.text(0) == call.value(1).kind().as_bytes()).into())
    });
    table.add("deepEqual", &[ANY, ANY], Type::Bool, |call| {
        Ok(equal::deep_equal(call, call.value(0), call.value(1))?.into())
    });
}

fn type_of(call: &Call<'_>, index: usize) -> String {
    call.value(index).go_type().map_or_else(|| "<nil>".to_owned(), |found| found.to_string())
}
