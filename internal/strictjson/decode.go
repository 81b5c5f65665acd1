package strictjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
)

// Unmarshal checks text, any JSON value, by the rules of this package and decodes it into v as [json.Unmarshal] does,
// but a member fills a struct field only if its name is the field's name byte for byte.
//
// encoding/json lets NAME or ſub fill a field of another spelling where no field has that very name. So each object
// that meets a struct is first reduced to the members which the struct has, by their exact names; the rest could only
// match by folding. What has a decoder of its own (json.Unmarshaler, encoding.TextUnmarshaler) gets its value
// unchanged, as do interface values: a struct behind a pointer in an interface inside *v is decoded by encoding/json
// alone.
func Unmarshal(text string, v any) error {
	if m, ok := v.(*map[string]json.RawMessage); ok && m != nil {
		if o, err := Parse(text); err == nil {
			o.fill(m)
			return nil
		}
	}
	if err := Check(text); err != nil {
		return err
	}
	whole := Value{strings.Trim(text, " \t\r\n")}
	if t := reflect.TypeOf(v); t != nil {
		return json.Unmarshal(appendExact(nil, whole, t), v)
	}
	return json.Unmarshal([]byte(whole.raw), v) // says what is wrong with nil
}

// fill does what encoding/json does with a map of raw values, without reading the text again. Names in a map are exact.
func (o Object) fill(m *map[string]json.RawMessage) {
	if *m == nil {
		*m = make(map[string]json.RawMessage, len(o))
	}
	size := 0
	for _, member := range o {
		size += len(member.Value.raw)
	}
	all := make([]byte, 0, size)
	for _, member := range o {
		start := len(all)
		all = append(all, member.Value.raw...)
		(*m)[member.Name] = all[start:len(all):len(all)]
	}
}

// appendExact appends v without the members that a value of type t would take by folding their names.
func appendExact(dst []byte, v Value, t reflect.Type) []byte {
	for !decodesItself(t) && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !decodesItself(t) {
		switch kind := v.kind(); {
		case kind == object && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
			return appendExactObject(dst, v, t)
		case kind == array && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
			return appendExactArray(dst, v, t.Elem())
		}
	}
	return append(dst, v.raw...)
}

func appendExactArray(dst []byte, v Value, element reflect.Type) []byte {
	dst = append(dst, '[')
	list, _ := v.Array()
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendExact(dst, e, element)
	}
	return append(dst, ']')
}

func appendExactObject(dst []byte, v Value, t reflect.Type) []byte {
	typeOf := func(string) (reflect.Type, bool) { return t.Elem(), true }
	if t.Kind() == reflect.Struct {
		fields := fieldsOf(t)
		typeOf = func(name string) (reflect.Type, bool) {
			f, ok := fields[name]
			return f.typ, ok && !f.ambiguous
		}
	}
	dst = append(dst, '{')
	members, _ := v.Object()
	for _, m := range members {
		member, ok := typeOf(m.Name)
		if !ok {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		name, _ := json.Marshal(m.Name) // a string always has an encoding
		dst = append(append(dst, name...), ':')
		dst = appendExact(dst, m.Value, member)
	}
	return append(dst, '}')
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// field is what encoding/json knows of a struct field: of two with one name the shallower wins, then the one whose
// name comes from a tag; if that does not decide, neither.
type field struct {
	typ       reflect.Type
	depth     int
	tagged    bool
	ambiguous bool
}

type fieldSet map[string]field

// fieldsOf lists the fields of a struct by the names that encoding/json gives them, those of embedded structs
// included, level by level.
func fieldsOf(t reflect.Type) fieldSet {
	set := fieldSet{}
	visited := map[reflect.Type]bool{}
	for depth, level := 0, []reflect.Type{t}; len(level) > 0; depth++ {
		for _, s := range level {
			visited[s] = true
		}
		var below []reflect.Type
		for _, s := range level {
			for i := range s.NumField() {
				if embedded := set.add(s.Field(i), depth); embedded != nil && !visited[embedded] {
					below = append(below, embedded)
				}
			}
		}
		level = below
	}
	return set
}

// add records a field, or returns the struct whose fields stand in its place.
func (set fieldSet) add(f reflect.StructField, depth int) (embedded reflect.Type) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return nil
	}
	inner := f.Type
	if inner.Name() == "" && inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	isStruct := inner.Kind() == reflect.Struct
	if !f.IsExported() && !(f.Anonymous && isStruct) {
		return nil
	}
	name, _, _ := strings.Cut(tag, ",")
	tagged := validTag(name)
	switch {
	case !tagged && f.Anonymous && isStruct:
		return inner
	case !tagged:
		name = f.Name
	}
	set.put(name, field{typ: f.Type, depth: depth, tagged: tagged})
	return nil
}

func (set fieldSet) put(name string, f field) {
	have, ok := set[name]
	switch {
	case !ok:
		set[name] = f
	case have.depth < f.depth:
	case f.tagged && !have.tagged:
		set[name] = f
	case f.tagged == have.tagged:
		have.ambiguous = true
		set[name] = have
	}
}

// validTag reports whether encoding/json accepts the name in a tag.
func validTag(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
