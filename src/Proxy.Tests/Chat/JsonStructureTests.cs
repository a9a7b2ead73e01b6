using System.Text;
using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class JsonStructureTests
{
    private const int Most = JsonStructure.MostValues;

    [Theory]
    [InlineData("1", Most - 1, false)]
    [InlineData("1", Most, true)]
    [InlineData("{}", Most, true)]
    [InlineData("[[],[]]", Most / 3, true)]
    [InlineData("{\"a\":1,\"b\":2}", (Most / 3) - 1, false)]
    [InlineData("{\"a\":1,\"b\":2}", Most / 3, true)]
    [InlineData("\",,,,[[[{{{\"", Most / 4, false)]
    [InlineData("1 nonsense", Most, false)]
    public void More_values_than_the_limit_Are_too_much_and_signs_in_texts_are_none(string value, int count, bool tooMuch)
    {
        var json = "[" + string.Join(',', Enumerable.Repeat(value, count)) + "]";

        Assert.Equal(tooMuch, JsonStructure.IsTooMuch(Encoding.UTF8.GetBytes(json)));
    }
}
