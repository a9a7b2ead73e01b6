namespace Proxy.Tests;

public sealed class SmokeTests
{
    [Fact]
    public void Builds() => Assert.NotNull(typeof(Program).Assembly.GetName().Name);
}
