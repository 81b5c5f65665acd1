package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

var refused = []struct{ name, text string }{
	{"empty", ""},
	{"white_space_only", " \n"},
	{"null", "null"},
	{"array", "[]"},
	{"string", `"a"`},
	{"number", "1"},
	{"unfinished", `{`},
	{"unfinished_after_a_name", `{"a"`},
	{"unfinished_after_a_colon", `{"a":`},
	{"unfinished_after_a_value", `{"a":1`},
	{"unfinished_after_a_comma", `{"a":1,`},
	{"trailing_comma", `{"a":1,}`},
	{"leading_comma", `{,"a":1}`},
	{"no_colon", `{"a" 1}`},
	{"no_comma", `{"a":1 "b":2}`},
	{"name_without_quotes", `{a:1}`},
	{"name_with_single_quotes", `{'a':1}`},
	{"number_as_name", `{1:1}`},
	{"C24_data_after", `{}{}`},
	{"C24_data_after_a_member", `{"a":1}0`},
	{"C24_bracket_after", `{}]`},
	{"C24_NUL_after", "{}\x00"},
	{"C24_byte_order_mark", "\ufeff{}"},
	{"C24_line_comment", "{}//"},
	{"C24_block_comment", `{/**/}`},
	{"C24_NaN", `{"a":NaN}`},
	{"C24_Infinity", `{"a":Infinity}`},
	{"C24_minus_Infinity", `{"a":-Infinity}`},
	{"C24_invalid_UTF-8_in_a_value", "{\"a\":\"\xff\"}"},
	{"C24_invalid_UTF-8_in_a_name", "{\"\xff\":1}"},
	{"C24_invalid_UTF-8_outside", "{}\xff"},
	{"C24_half_a_character", "{\"a\":\"\xe2\x82\"}"},
	{"C24_lone_high_surrogate", `{"a":"\ud800"}`},
	{"C24_lone_low_surrogate", `{"a":"\udc00"}`},
	{"C24_surrogates_in_the_wrong_order", `{"a":"\udc00\ud800"}`},
	{"C24_high_surrogate_and_a_letter", `{"a":"\ud800\u0041"}`},
	{"C24_high_surrogate_and_hex_digits_behind_a_letter", `{"a":"\ud800xudc00"}`},
	{"C24_high_surrogate_and_hex_digits_behind_another_escape", `{"a":"\ud800\ndc00"}`},
	{"C24_high_surrogate_at_the_end_of_the_text", `{"a":"\ud800`},
	{"C24_lone_surrogate_in_a_name", `{"\ud800":1}`},
	{"C24_escaped_NUL", `{"a":"\u0000"}`},
	{"C24_escaped_NUL_in_a_name", `{"\u0000":1}`},
	{"C24_raw_NUL", "{\"a\":\"\x00\"}"},
	{"raw_newline_in_a_string", "{\"a\":\"\n\"}"},
	{"raw_tab_in_a_string", "{\"a\":\"\t\"}"},
	{"unknown_escape", `{"a":"\x"}`},
	{"escape_at_the_end", `{"a":"\`},
	{"short_unicode_escape", `{"a":"\u12"}`},
	{"unicode_escape_with_a_sign", `{"a":"\u+123"}`},
	{"unicode_escape_with_a_letter_beyond_f", `{"a":"\u123g"}`},
	{"unicode_escape_in_capitals", `{"a":"\U1234"}`},
	{"unfinished_string", `{"a":"`},
	{"leading_zero", `{"a":01}`},
	{"minus_leading_zero", `{"a":-01}`},
	{"leading_plus", `{"a":+1}`},
	{"leading_point", `{"a":.1}`},
	{"trailing_point", `{"a":1.}`},
	{"point_and_exponent", `{"a":1.e1}`},
	{"empty_exponent", `{"a":1e}`},
	{"empty_signed_exponent", `{"a":1e+}`},
	{"minus_alone", `{"a":-}`},
	{"two_minus", `{"a":--1}`},
	{"hexadecimal", `{"a":0x1}`},
	{"underscore", `{"a":1_0}`},
	{"True", `{"a":True}`},
	{"tru", `{"a":tru}`},
	{"trueish", `{"a":truex}`},
	{"a word of true's length", `{"a":trux}`},
	{"a word of false's length", `{"a":falsy}`},
	{"a word of null's length", `{"a":nuls}`},
	{"nul", `{"a":nul}`},
	{"vertical_tab_as_space", "{\v}"},
	{"no-break_space_as_space", "{\u00a0}"},
	{"C22_duplicate", `{"a":1,"a":1}`},
	{"C22_duplicate_by_escape", `{"a":1,"\u0061":1}`},
	{"C22_duplicate_by_solidus_escape", `{"a/b":1,"a\/b":1}`},
	{"C22_duplicate_of_the_empty_name", `{"":1,"":1}`},
	{"C22_duplicate_in_an_object", `{"a":{"b":1,"b":1}}`},
	{"C22_duplicate_in_an_object_of_an_array", `{"a":[0,{"b":1,"c":1,"b":1}]}`},
	{"C22_duplicate_among_many", `{` + members(100) + `,"m7":1}`},
	{"C22_duplicate_of_the_last_among_many", `{` + members(100) + `,"m99":1}`},
	{"C22_duplicate_at_the_turn_from_list_to_map", `{` + members(48) + `,"m47":1}`},
	{"C22_duplicate_of_the_name_at_the_turn", `{` + members(49) + `,"m48":1}`},
	{"C25_too_deep", `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`},
	{"C25_too_deep_in_objects", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33)},
	{"C25_a_hundred_thousand_brackets", `{"a":` + strings.Repeat("[", 100_000)},
	{"too_long", `{"a":"` + strings.Repeat("a", strictjson.MaxBytes) + `"}`},
}

func members(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return strings.Join(list, ",")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, r := range refused {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			o, err := strictjson.Parse(r.text)
			var syntax *strictjson.SyntaxError
			if !errors.As(err, &syntax) || syntax.Reason == "" || syntax.Offset > len(r.text) || len(err.Error()) > 100 {
				t.Errorf("Parse: %v", err)
			}
			if o != nil {
				t.Error("members beside an error")
			}
			var v map[string]any
			if err := strictjson.Unmarshal(r.text, &v); err == nil && r.name != "null" {
				t.Error("Unmarshal takes it")
			} else if v != nil {
				t.Error("Unmarshal filled something")
			}
		})
	}
}

var accepted = []string{
	`{}`,
	" \t\r\n{ \t\r\n} \t\r\n",
	`{"a":1}`,
	`{ "a" : 1 , "b" : [ ] , "c" : { } , "d" : [ 1 , 2 ] }`,
	`{"Sub":1,"SUB":2,"sub":3,"ſub":4}`,
	`{"a":{"a":{"a":[{"a":1},{"a":1}]}}}`,
	`{"":""}`,
	`{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00"}`,
	`{"a":"é€😀` + "\u007f\u2028" + `"}`,
	`{"a":[0,-0,1,-1,10,1.5,-1.5e10,1E+2,1e-2,0.0,0e0,123456789012345678901234567890]}`,
	`{"a":1e400}`,
	`{"a":[true,false,null]}`,
	`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
	`{` + members(1000) + `}`,
	`{"a":"` + strings.Repeat("a", 10_000) + `"}`,
	`{"a":{` + members(30) + `},"b":{` + members(30) + `}}`,
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, text := range accepted {
		if _, err := strictjson.Parse(text); err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		agrees(t, text)
	}
	if err := strictjson.Check(`[1,"a",null]`); err != nil {
		t.Error(err)
	}
}

// agrees fails unless encoding/json reads the same in text, which Check accepts.
func agrees(t *testing.T, text string) {
	t.Helper()
	o, err := strictjson.Parse(text)
	if err != nil {
		return // another value than an object: checked without being handed out
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var want any
	if err := d.Decode(&want); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", text, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("data after %q", text)
	}
	if got := tree(t, o); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %#v, encoding/json %#v", text, got, want)
	}
}

func tree(t *testing.T, o strictjson.Object) any {
	m := map[string]any{}
	for _, member := range o {
		m[member.Name] = value(t, member.Value)
	}
	if len(m) != len(o) {
		t.Error("a name twice")
	}
	return m
}

func value(t *testing.T, v strictjson.Value) any {
	if s, ok := v.Text(); ok {
		return s
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if o, ok := v.Object(); ok {
		return tree(t, o)
	}
	if a, ok := v.Array(); ok {
		list := []any{}
		for _, e := range a {
			list = append(list, value(t, e))
		}
		return list
	}
	if v.Raw() == "null" {
		return nil
	}
	return json.Number(v.Raw())
}

func get(t *testing.T, text string) strictjson.Value {
	t.Helper()
	o, err := strictjson.Parse(`{"a":` + text + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return o.Get("a")
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		text   string
		f      float64
		okF    bool
		i      int64
		okI    bool
		remark string
	}{
		{"0", 0, true, 0, true, ""},
		{"-0", 0, true, 0, true, ""},
		{"1800000000", 1.8e9, true, 1800000000, true, ""},
		{"1.5", 1.5, true, 0, false, ""},
		{"1e3", 1000, true, 0, false, "written as no integer"},
		{"9223372036854775807", 9223372036854775807, true, 9223372036854775807, true, ""},
		{"9223372036854775808", 9223372036854775808, true, 0, false, "beyond int64"},
		{"-9223372036854775808", -9223372036854775808, true, -9223372036854775808, true, ""},
		{"1e300", 1e300, true, 0, false, ""},
		{"1e400", 0, false, 0, false, "beyond float64"},
		{"-1e400", 0, false, 0, false, "beyond float64"},
		{"1e-400", 0, true, 0, false, "rounds to zero"},
		{`"1"`, 0, false, 0, false, "a string"},
		{"null", 0, false, 0, false, ""},
		{"true", 0, false, 0, false, ""},
		{"[1]", 0, false, 0, false, ""},
	} {
		v := get(t, r.text)
		f, okF := v.Float64()
		i, okI := v.Int64()
		if okF != r.okF || okF && f != r.f || okI != r.okI || okI && i != r.i {
			t.Errorf("%s: %v %v, %v %v (%s)", r.text, f, okF, i, okI, r.remark)
		}
	}
}

func TestConversionsFailForOtherTypes(t *testing.T) {
	t.Parallel()
	for kind, text := range map[string]string{
		"text": `"a"`, "bool": "true", "float": "1", "object": "{}", "array": "[]", "null": "null", "absent": "",
	} {
		v := strictjson.Value{}
		if text != "" {
			v = get(t, text)
		}
		_, isText := v.Text()
		_, isBool := v.Bool()
		_, isFloat := v.Float64()
		_, isInt := v.Int64()
		_, isObject := v.Object()
		_, isArray := v.Array()
		_, isTexts := v.Texts()
		got := map[string]bool{"text": isText, "bool": isBool, "float": isFloat, "object": isObject, "array": isArray}
		for k, ok := range got {
			if ok != (k == kind) {
				t.Errorf("%s converts to %s: %v", kind, k, ok)
			}
		}
		if isInt != isFloat || isTexts != isArray || v.Exists() != (kind != "absent") || v.Raw() != text {
			t.Errorf("%s is not itself", kind)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{`["a","\u0062"]`: {"a", "b"}, `[ ]`: nil} {
		if got, ok := get(t, text).Texts(); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{`["a",1]`, `[["a"]]`, `[null]`, `"a"`} {
		if got, ok := get(t, text).Texts(); ok || got != nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true},
		{`1e2`, `100`, true},
		{`1`, `2`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`9007199254740993`, `9007199254740993`, true},
		{`1e400`, `2e400`, false},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"A"`, false},
		{`1`, `"1"`, false},
		{`null`, `false`, false},
		{`true`, `false`, false},
		{`[1,2]`, `[1.0, 2]`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`{"a":1,"b":{"c":[]}}`, `{ "b":{"c":[ ]}, "a":1 }`, true},
		{`{"a":1}`, `{"a":1,"b":1}`, false},
		{`{"a":1}`, `{"A":1}`, false},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":{"b":[1]}}`, `{"a":{"b":[2]}}`, false},
	} {
		if got := strictjson.Equal(get(t, r.a), get(t, r.b)); got != r.want {
			t.Errorf("%s and %s: %v", r.a, r.b, got)
		}
		if got := strictjson.Equal(get(t, r.b), get(t, r.a)); got != r.want {
			t.Errorf("%s and %s: %v", r.b, r.a, got)
		}
	}
	if !strictjson.Equal(strictjson.Value{}, strictjson.Value{}) || strictjson.Equal(strictjson.Value{}, get(t, "null")) {
		t.Error("absence is equal to absence only")
	}
}

type (
	inner    struct{ Inner string }
	Embedded struct {
		Deep   string `json:"deep"`
		Shared string
	}
	other struct{ Shared string } // makes Shared ambiguous
	odd   struct {
		Hidden   string `json:"-"`
		URL      string `json:"https://example.com/roles"`
		Space    string `json:"two words,omitempty"`
		Pointer  *inner
		List     []inner
		Map      map[string]inner
		Array    [1]inner
		Any      any
		Own      ownDecoder
		Bytes    []byte
		Embedded `json:"named"`
	}
	everything struct {
		odd
		*Embedded
		other
		Inner inner `json:"inner"`
	}
	ownDecoder struct{ text string }
	recursive  struct {
		Name string
		Next *recursive `json:"next"`
		List []recursive
		*RecursiveEmbedded
	}
	RecursiveEmbedded struct {
		*RecursiveEmbedded
		Own string
	}
)

func (d *ownDecoder) UnmarshalJSON(b []byte) error { d.text = string(b); return nil }

func TestUnmarshalTakesExactNamesOnly(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		name, text string
		into, want any
	}{
		{
			"case_and_long_s", `{"NAME":"evil","ſub":"evil","name":"good"}`,
			new(struct{ Name, Sub string }), &struct{ Name, Sub string }{},
		},
		{
			"exact_beside_folded", `{"Name":"good","NAME":"evil","name":"evil"}`,
			new(struct{ Name string }), &struct{ Name string }{"good"},
		},
		{
			"in_a_list", `{"List":[{"INNER":"evil"},{"Inner":"good"}]}`,
			new(odd), &odd{List: []inner{{}, {"good"}}},
		},
		{"in_an_array", `{"Array":[{"INNER":"evil"}]}`, new(odd), &odd{}},
		{
			"in_a_map", `{"Map":{"INNER":{"inner":"evil","Inner":"good"}}}`,
			new(odd), &odd{Map: map[string]inner{"INNER": {"good"}}},
		},
		{"behind_a_pointer", `{"Pointer":{"inner":"evil"}}`, new(odd), &odd{Pointer: &inner{}}},
		{"null_behind_a_pointer", `{"Pointer":null,"List":null,"Map":null}`, new(odd), &odd{}},
		{
			"any_gets_all", `{"Any":{"a":1,"A":2}}`,
			new(odd), &odd{Any: map[string]any{"a": 1.0, "A": 2.0}},
		},
		{
			"a_decoder_of_its_own_gets_its_text", `{"Own":{"a":1, "A":2}}`,
			new(odd), &odd{Own: ownDecoder{`{"a":1, "A":2}`}},
		},
		{
			"odd_tags", `{"-":"x","Hidden":"x","https://example.com/roles":"5","two words":"6"}`,
			new(odd), &odd{URL: "5", Space: "6"},
		},
		{
			"ambiguous_names_are_nobodys", `{"Shared":"x","deep":"good","DEEP":"evil","inner":{"Inner":"good"},"INNER":{"Inner":"evil"}}`,
			new(everything), &everything{Embedded: &Embedded{Deep: "good"}, Inner: inner{"good"}},
		},
		{
			"recursive_types", `{"next":{"NAME":"evil","next":{"Name":"good"}},"List":[{"name":"evil"}]}`,
			new(recursive), &recursive{Next: &recursive{Next: &recursive{Name: "good"}}, List: []recursive{{}}},
		},
		{"list_at_the_top", `[{"INNER":"evil"},{"Inner":"good"}]`, new([]inner), &[]inner{{}, {"good"}}},
		{"bytes", `{"Bytes":"AAEC"}`, new(odd), &odd{Bytes: []byte{0, 1, 2}}},
		{"a_name_that_needs_escapes", `{"a\"<\u2028":1}`, new(map[string]int), &map[string]int{"a\"<\u2028": 1}},
		{"pointer_to_pointer", `{"INNER":"evil","Inner":"good"}`, new(*inner), func() **inner { p := &inner{"good"}; return &p }()},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if err := strictjson.Unmarshal(r.text, r.into); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r.into, r.want) {
				t.Errorf("got %+v, want %+v", r.into, r.want)
			}
		})
	}
}

func TestUnmarshalReportsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, inner{}, (*inner)(nil), new(int), new([]string)} {
		if err := strictjson.Unmarshal(`{"Inner":"a"}`, v); err == nil {
			t.Errorf("%T was filled", v)
		}
	}
}

// TestFieldsAreEncodingJSONs: the fields that Unmarshal knows are exactly those that encoding/json would marshal.
func TestFieldsAreEncodingJSONs(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		odd{},
		everything{Embedded: &Embedded{}},
		recursive{RecursiveEmbedded: &RecursiveEmbedded{}},
		Embedded{},
		inner{},
		struct {
			A string `json:"b"`
			B string
		}{},
		struct {
			inner
			other
			Embedded
		}{},
	} {
		names := map[string]json.RawMessage{}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &names); err != nil {
			t.Fatal(err)
		}
		got := strictjson.FieldNames(reflect.TypeOf(v))
		for name := range names {
			if !got[name] && name != "two words" {
				t.Errorf("%T: %q is missing", v, name)
			}
			delete(got, name)
		}
		delete(got, "two words") // omitempty
		if len(got) > 0 {
			t.Errorf("%T: %v too many", v, got)
		}
	}
}

func TestErrorsHoldNoText(t *testing.T) {
	t.Parallel()
	_, err := strictjson.Parse(`{"a":"canary-secret","a":1}`)
	if err == nil || strings.Contains(err.Error(), "canary") || err.Error() != "strictjson: the same name twice in an object at byte 24" {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	seeds := 0
	for _, r := range refused {
		if len(r.text) < 2000 {
			f.Add(r.text)
			seeds++
		}
	}
	for _, text := range accepted {
		if len(text) < 2000 {
			f.Add(text)
			seeds++
		}
	}
	if seeds < 80 {
		f.Fatalf("%d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := strictjson.Parse(text)
		if err != nil {
			if o != nil {
				t.Error("members beside an error")
			}
			return
		}
		if strictjson.Check(text) != nil || !json.Valid([]byte(text)) {
			t.Error("accepted by Parse only")
		}
		agrees(t, text)
	})
}

// FuzzUnmarshal: a struct field holds what the member of exactly its name holds, and nothing else. A map of raw values,
// which has a way of its own, holds what every other map type does.
func FuzzUnmarshal(f *testing.F) {
	f.Add(`{"name":"a","Name":"b","NAME":"c","sub":"d","ſub":"e"}`)
	f.Add(`{"Sub":"a","list":[{"name":"b"},{"NAME":"c"}]}`)
	f.Add(` { "sub" : { "a" : [ 1 , 2 ] } , "n\u0061me" : null } `)
	f.Add(`{}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		type element struct {
			Name any `json:"name"`
		}
		var v struct {
			element
			Sub  any       `json:"sub"`
			List []element `json:"list"`
		}
		var all map[string]json.RawMessage
		if strictjson.Unmarshal(text, &v) != nil || strictjson.Unmarshal(text, &all) != nil {
			return
		}
		type general map[string]json.RawMessage
		var same general
		if err := strictjson.Unmarshal(text, &same); err != nil || !reflect.DeepEqual(same, general(all)) {
			t.Errorf("%q: %v, want %v (%v)", text, all, same, err)
		}
		for name, got := range map[string]any{"name": v.Name, "sub": v.Sub} {
			var want any
			if raw, ok := all[name]; ok {
				_ = json.Unmarshal(raw, &want)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %s is %v, want %v", text, name, got, want)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := `{"iss":"https://login.example.com/","sub":"auth0|0123456789abcdef","aud":"client","exp":1800000000,"iat":1800000000,` +
		`"nonce":"n-0S6_WzA2Mj0123456789abcdefghijklmnop","c_hash":"LDktKdoQak3Pk0cnXxCltA","auth_time":1800000000,` +
		`"amr":["pwd","otp"],"name":"Alice Adams","email":"alice@example.com","email_verified":true,"address":{"country":"US"}}`
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var buf [24]strictjson.Member
		if _, err := strictjson.AppendObject(buf[:0], text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStandardDecoder(b *testing.B) {
	text := []byte(`{"iss":"https://login.example.com/","sub":"auth0|0123456789abcdef","aud":"client","exp":1800000000,"iat":1800000000}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var v map[string]json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&v); err != nil {
			b.Fatal(err)
		}
	}
}

// A tag with a name that encoding/json does not know as one counts for nothing here either.
func TestTagWithAnOddName(t *testing.T) {
	t.Parallel()
	var ours, theirs struct {
		A int `json:"a'b"` //nolint:staticcheck // that is the point
	}
	for _, text := range []string{`{"a'b":1}`, `{"A":1}`} {
		if err := strictjson.Unmarshal(text, &ours); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &theirs); err != nil {
			t.Fatal(err)
		}
		if ours != theirs {
			t.Errorf("%s: %+v, encoding/json %+v", text, ours, theirs)
		}
	}
}
