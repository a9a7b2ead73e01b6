using System.Text;
using System.Text.Json;
using CsCheck;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>The quick reader of an envelope, the thorough one and System.Text.Json read every body alike: one of them authorises, another serves.</summary>
public sealed class EnvelopeAgreementTests
{
    private const string Noise = "\"{}[]:,\\ \t\n0123456789-.eEutrfalsnm\u0000\u001f\u007f\u00e9";

    private static readonly Gen<string> Space = Gen.Frequency((8, Gen.Const("")), (1, Gen.Const(" ")), (1, Gen.OneOf("\n", "\t", "\r\n ", "    ")));

    private static readonly Gen<string> Text = Gen.Frequency(
        (4, Gen.OneOf("", "m", "qwen3:8b", "true", "model", "é", "你好 😀", "  ")),
        (2, Gen.OneOf("\\\"", "\\\\", "\\/", "\\n", "\\u0065", "\\ud83d\\ude00", "\\ud83d", "\\x", "\\u12", "\\")),
        (2, Gen.Int[0, 90].Select(length => new string('a', length))),
        (1, Gen.Int[500, 520].Select(length => new string('b', length)))).Joined(3);

    private static readonly Gen<string> Scalar = Gen.OneOf(
        Text.Select(text => $"\"{text}\""),
        Gen.OneOf("true", "false", "null", "0", "-1", "1.50", "1e9", "-0.0E+7"),
        Gen.OneOf("01", "1.", "-", "+1", ".5", "1e", "tru", "nulL", "NaN", "'m'", ""));

    private static readonly Gen<string> Nested = Gen.OneOf(
        Gen.OneOf(Gen.Int[1, 5], Gen.Int[60, 68], Gen.Int[250, 260]).Select(depth => new string('[', depth) + new string(']', depth)),
        Gen.OneOf(Gen.Int[1, 5], Gen.Int[60, 68], Gen.Int[250, 260]).Select(depth => string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth)));

    private static readonly Gen<string> Value = Gen.Recursive<string>((depth, self) => depth > 3 ? Scalar : Gen.Frequency(
        (6, Scalar),
        (2, Gen.Select(Space, self, Space, (before, value, after) => before + value + after).Joined(4, ",").Select(list => $"[{list}]")),
        (2, Gen.Select(Text, Space, self, (name, gap, value) => $"\"{name}\":{gap}{value}").Joined(4, ",").Select(members => $"{{{members}}}")),
        (1, Nested)));

    private static readonly Gen<string> Flag = Gen.OneOf("true", "false", "null");
    private static readonly Gen<string> Texts = Gen.OneOf(Scalar, Gen.Select(Space, Scalar, Space, (before, value, after) => before + value + after).Joined(4, ",").Select(list => $"[{list}]"));

    private static readonly Gen<string> Member = Gen.Frequency(
        (6, Of(["model"], Gen.OneOf("\"m\"", "\"qwen3:8b\"", "\"hf.co/a/b:Q4_K_M\""))),
        (1, Of(["model", "Model", "mod\\u0065l", "MODEL", "m\\u006Fdel"], Value)),
        (3, Of(["stream", "str\\u0065am"], Flag)),
        (1, Of(["stream"], Value)),
        (2, Of(["stream_options", "stream_option\\u0073"], Gen.Select(Flag, Value, Flag, (wish, other, again) => $"{{\"include_usage\":{wish},\"x\":{other},\"includ\\u0065_usage\":{again}}}"))),
        (1, Of(["stream_options"], Value)),
        (3, Of(["messages", "prompt", "input", "inpu\\u0074"], Texts)),
        (1, Of(["messages"], Value)),
        (3, Gen.Select(Text, Value, (name, value) => $"\"{name}\":{value}")));

    private static readonly Gen<string> Body = Gen.Select(Space, Member.Array[1, 6], Space, (before, members, after) => $"{before}{{{before}{string.Join("," + after, members)}{after}}}{after}").Disturbed(Noise);

    [Fact]
    public void Every_body_Is_read_alike() =>
        Body.Holds(20_000, Properties.Shown, text =>
        {
            var body = Encoding.UTF8.GetBytes(text);
            var problem = EnvelopePeek.Read(body, out var envelope);
            if (Skimmed(body) is { } skimmed) Assert.Equal((null, skimmed), (Scanned(body, out var scanned), scanned));
            Assert.Equal(problem is null, envelope is not null);

            using var document = Parsed(body);
            if (document is null) Assert.NotNull(problem);
            else if (problem?.Message.Contains("not valid JSON", StringComparison.Ordinal) is true) Assert.Contains("Unicode", problem.Message, StringComparison.Ordinal);
            if (document is null || Expected(document.RootElement, out var expected) is not { } accepts) return;

            Assert.Equal(accepts, problem is null);
            if (!accepts) return;
            Assert.Equal(expected, new Said(envelope!.Model, envelope.Stream, envelope.IncludeUsage, envelope.Messages));
            Assert.Equal(envelope.Model, JsonSerializer.Deserialize<string>(body.AsSpan()[envelope.ModelSlice]));
            if (envelope.StreamOptionsSlice is { } slice) Assert.Equal(document.RootElement.GetProperty("stream_options").GetRawText(), Encoding.UTF8.GetString(body.AsSpan()[slice]));
        });

    private sealed record Said(string Model, bool? Stream, bool IncludeUsage, int? Messages);

    private static Gen<string> Of(string[] names, Gen<string> values) => Gen.Select(Gen.OneOf(names), Space, values, (name, gap, value) => $"\"{name}\"{gap}:{gap}{value}");

    private static ChatEnvelope? Skimmed(byte[] body)
    {
        try
        {
            return EnvelopePeek.Skim(body, out var envelope) ? envelope : null;
        }
        catch (InvalidOperationException) // half of a surrogate pair, as a name in stream_options
        {
            Assert.Throws<InvalidOperationException>(() => Scanned(body, out _));
            return null;
        }
    }

    private static ProxyError? Scanned(byte[] body, out ChatEnvelope? envelope)
    {
        envelope = null;
        return EnvelopePeek.Scan(body, modelOptional: false, ref envelope);
    }

    private static JsonDocument? Parsed(byte[] body)
    {
        try
        {
            return JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = EnvelopePeek.MaxDepth });
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether the body is to be accepted, read from a whole document; null where a name is half of a surrogate pair, so that it says nothing.</summary>
    private static bool? Expected(JsonElement root, out Said expected)
    {
        expected = new("", null, false, null);
        if (root.ValueKind is not JsonValueKind.Object) return false;
        var members = new List<(string Name, JsonElement Value)>();
        try
        {
            foreach (var member in root.EnumerateObject()) members.Add((member.Name, member.Value));
            if (members.Count(member => member.Name.Equals("model", StringComparison.OrdinalIgnoreCase)) != 1) return false;
            var model = members.Find(member => member.Name == "model").Value;
            if (model.ValueKind is not JsonValueKind.String || string.IsNullOrWhiteSpace(model.GetString()) || Encoding.UTF8.GetByteCount(model.GetString()!) > ModelName.LongestBytes) return false;
            if (members.Count(member => member.Name == "stream") > 1 || members.Count(member => member.Name == "stream_options") > 1 || members.Count(member => member.Name == "messages") > 1) return false;
            var stream = members.Find(member => member.Name == "stream").Value;
            if (stream.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null)) return false;
            var options = members.Find(member => member.Name == "stream_options").Value;
            expected = new(
                model.GetString()!,
                stream.ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => null },
                options.ValueKind is JsonValueKind.Object && options.EnumerateObject().LastOrDefault(member => member.NameEquals("include_usage")).Value.ValueKind is JsonValueKind.True,
                Messages(members));
            return true;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static int? Messages(List<(string Name, JsonElement Value)> members)
    {
        if (members.Find(member => member.Name == "messages").Value is { ValueKind: JsonValueKind.Array } messages) return messages.GetArrayLength();
        var texts = members.FindLast(member => member.Name is "input" or "prompt" && member.Value.ValueKind is JsonValueKind.Array or JsonValueKind.String).Value;
        return texts.ValueKind switch
        {
            JsonValueKind.Undefined => null,
            JsonValueKind.String => texts.GetRawText().Length == 2 ? 0 : 1,
            _ => texts.GetArrayLength() > 0 && texts[0].ValueKind is JsonValueKind.Number && texts[0].GetRawText()[0] != '-' ? 1 : texts.GetArrayLength(), // a list of tokens
        };
    }
}
