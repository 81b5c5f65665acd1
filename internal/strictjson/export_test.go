package strictjson

import "reflect"

// FieldNames lists the names that a struct type has for Unmarshal.
func FieldNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for name, f := range fieldsOf(t) {
		if !f.ambiguous {
			names[name] = true
		}
	}
	return names
}
