using System.Text;
using System.Text.Json;
using Proxy.Knowledge.Filters;

namespace Proxy.Tests.Knowledge.Filters;

public sealed class AttributeFilterTests
{
    private const string File = """{"lang":"de","year":2024,"draft":false,"price":9.5}""";

    [Theory]
    [InlineData("""{"type":"eq","key":"lang","value":"de"}""", true)]
    [InlineData("""{"type":"eq","key":"lang","value":"DE"}""", false)]
    [InlineData("""{"type":"eq","key":"year","value":2024.0}""", true)]
    [InlineData("""{"type":"eq","key":"year","value":"2024"}""", false)]
    [InlineData("""{"type":"eq","key":"draft","value":false}""", true)]
    [InlineData("""{"type":"eq","key":"draft","value":0}""", false)]
    [InlineData("""{"type":"eq","key":"none","value":"de"}""", false)]
    [InlineData("""{"type":"ne","key":"lang","value":"en"}""", true)]
    [InlineData("""{"type":"ne","key":"lang","value":"de"}""", false)]
    [InlineData("""{"type":"ne","key":"none","value":"de"}""", true)]
    [InlineData("""{"type":"ne","key":"year","value":"2024"}""", true)]
    [InlineData("""{"type":"gt","key":"year","value":2023}""", true)]
    [InlineData("""{"type":"gt","key":"year","value":2024}""", false)]
    [InlineData("""{"type":"gte","key":"year","value":2024}""", true)]
    [InlineData("""{"type":"gte","key":"year","value":"1999"}""", false)]
    [InlineData("""{"type":"lt","key":"price","value":9.6}""", true)]
    [InlineData("""{"type":"lt","key":"price","value":9.5}""", false)]
    [InlineData("""{"type":"lte","key":"price","value":9.5}""", true)]
    [InlineData("""{"type":"lte","key":"lang","value":"dd"}""", false)]
    [InlineData("""{"type":"lt","key":"none","value":1}""", false)]
    [InlineData("""{"type":"in","key":"lang","value":["en","de"]}""", true)]
    [InlineData("""{"type":"in","key":"year","value":[2023,2024]}""", true)]
    [InlineData("""{"type":"in","key":"lang","value":[]}""", false)]
    [InlineData("""{"type":"in","key":"none","value":["de"]}""", false)]
    [InlineData("""{"type":"nin","key":"lang","value":["en","de"]}""", false)]
    [InlineData("""{"type":"nin","key":"lang","value":["en"]}""", true)]
    [InlineData("""{"type":"nin","key":"none","value":["de"]}""", true)]
    [InlineData("""{"type":"and","filters":[{"type":"eq","key":"lang","value":"de"},{"type":"gt","key":"year","value":2020}]}""", true)]
    [InlineData("""{"type":"and","filters":[{"type":"eq","key":"lang","value":"de"},{"type":"gt","key":"year","value":2024}]}""", false)]
    [InlineData("""{"type":"or","filters":[{"type":"eq","key":"lang","value":"en"},{"type":"gt","key":"year","value":2020}]}""", true)]
    [InlineData("""{"type":"or","filters":[{"type":"eq","key":"lang","value":"en"},{"type":"gt","key":"year","value":2024}]}""", false)]
    [InlineData("""{"type":"or","filters":[{"type":"and","filters":[{"type":"ne","key":"lang","value":"x"}]}]}""", true)]
    public void Filter_MatchesAsItSays(string written, bool expected)
    {
        Assert.Null(Read(written, out var filter));

        Assert.Equal(expected, filter!.Matches(JsonElement.Parse(File)));
    }

    [Theory]
    [InlineData("[]", "the filter must be an object")]
    [InlineData("""{"key":"a","value":1}""", "type is missing")]
    [InlineData("""{"type":5,"key":"a","value":1}""", "type must be a text")]
    [InlineData("""{"type":"like","key":"a","value":1}""", "type is 'like'; it can be eq, ne")]
    [InlineData("""{"type":"eq","value":1}""", "key is missing")]
    [InlineData("""{"type":"eq","key":7,"value":1}""", "key must be a text")]
    [InlineData("""{"type":"eq","key":"a"}""", "value is missing")]
    [InlineData("""{"type":"eq","key":"a","value":null}""", "value must be a text, a number, true or false")]
    [InlineData("""{"type":"eq","key":"a","value":["x"]}""", "the type is \"in\"")]
    [InlineData("""{"type":"eq","key":"a","value":{"b":1}}""", "value must be a text, a number")]
    [InlineData("""{"type":"gt","key":"a","value":true}""", "value must be a number or a text")]
    [InlineData("""{"type":"in","key":"a","value":"x"}""", "value must be an array")]
    [InlineData("""{"type":"nin","key":"a","value":[[1]]}""", "value may hold only texts")]
    [InlineData("""{"type":"and"}""", "filters is missing")]
    [InlineData("""{"type":"or","filters":[]}""", "filters must be an array of at least one filter")]
    [InlineData("""{"type":"and","filters":{"type":"eq"}}""", "filters must be an array of at least one filter")]
    [InlineData("""{"type":"or","filters":[{"type":"eq","key":"a","value":1},{"type":"and","filters":[{"type":"eq","key":"a"}]}]}""",
        "filters[1].filters[0].value is missing")]
    [InlineData("""{"type":"or","filters":[3]}""", "filters[0] must be an object")]
    [InlineData("""{"type":"eq","key":"\ud800","value":1}""", "not valid Unicode")]
    public void WrongFilter_IsRefusedWithItsMember(string written, string message)
    {
        var wrong = Read(written, out var filter);

        Assert.Null(filter);
        Assert.Contains(message, wrong, StringComparison.Ordinal);
    }

    [Fact]
    public void DeepFilter_IsRefused()
    {
        var nested = new StringBuilder("""{"type":"eq","key":"a","value":1}""");
        for (var i = 1; i < FilterReader.DeepestNesting; i++) nested.Insert(0, """{"type":"and","filters":[""").Append("]}");
        Assert.Null(Read(nested.ToString(), out _));

        nested.Insert(0, """{"type":"or","filters":[""").Append("]}");

        Assert.Contains("nested more than 16 deep", Read(nested.ToString(), out _), StringComparison.Ordinal);
    }

    [Fact]
    public void LargeFilter_IsRefused()
    {
        const string One = """{"type":"eq","key":"a","value":1}""";
        string Of(int parts) => $$"""{"type":"or","filters":[{{string.Join(',', Enumerable.Repeat(One, parts))}}]}""";
        string Values(int many) => $$"""{"type":"in","key":"a","value":[{{string.Join(',', Enumerable.Range(0, many))}}]}""";

        Assert.Null(Read(Of(FilterReader.MostFilters - 1), out _));
        Assert.Contains("more than 256 parts", Read(Of(FilterReader.MostFilters), out _), StringComparison.Ordinal);
        Assert.Null(Read(Values(FilterReader.MostValues), out _));
        Assert.Contains("more than 1024 values", Read(Values(FilterReader.MostValues + 1), out _), StringComparison.Ordinal);
    }

    [Fact]
    public void AttributesThatAreNoObject_HaveNoAttribute()
    {
        Assert.Null(Read("""{"type":"eq","key":"a","value":1}""", out var filter));

        Assert.False(filter!.Matches(JsonElement.Parse("null")));
    }

    private static string? Read(string written, out AttributeFilter? filter) => AttributeFilter.Read(JsonElement.Parse(written), out filter);
}
